import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseContainersProfile, seccompFor } from './seccomp.ts';

const profile = parseContainersProfile(
  JSON.stringify({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    defaultErrno: 'ENOSYS',
    archMap: [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
    ],
    syscalls: [
      { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW', args: [], includes: {}, excludes: {} },
      { names: ['arch_prctl'], action: 'SCMP_ACT_ALLOW', args: [], includes: { arches: ['amd64'] }, excludes: {} },
      {
        names: ['cacheflush'],
        action: 'SCMP_ACT_ALLOW',
        args: [],
        includes: { arches: ['arm', 'arm64'] },
        excludes: {},
      },
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', args: [], includes: { caps: ['CAP_SYS_ADMIN'] }, excludes: {} },
      { names: ['mount'], action: 'SCMP_ACT_ERRNO', args: [], excludes: { caps: ['CAP_SYS_ADMIN'] }, errnoRet: 1 },
      { names: ['bpf'], action: 'SCMP_ACT_ERRNO', excludes: { caps: ['CAP_SYS_ADMIN', 'CAP_BPF'] }, errnoRet: 1 },
      { names: ['socket'], action: 'SCMP_ACT_ALLOW', args: null, includes: { caps: ['CAP_AUDIT_WRITE'] } },
      {
        names: ['socket'],
        action: 'SCMP_ACT_ERRNO',
        args: [{ index: 0, value: 16, valueTwo: 0, op: 'SCMP_CMP_EQ' }],
        excludes: { caps: ['CAP_AUDIT_WRITE'] },
        errnoRet: 22,
      },
    ],
  }),
);

test('seccompFor() without capabilities keeps the common rules, the architecture, and what is forbidden', () => {
  assert.deepEqual(seccompFor(profile, { arch: 'arm64', caps: [] }), {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
    syscalls: [
      { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
      { names: ['cacheflush'], action: 'SCMP_ACT_ALLOW' },
      { names: ['mount'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
      { names: ['bpf'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
      { names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: 22, args: [{ index: 0, value: 16, op: 'SCMP_CMP_EQ' }] },
    ],
  });
});

test('seccompFor() with a capability takes the rules that need it and drops those it excludes', () => {
  const { syscalls } = seccompFor(profile, { arch: 'amd64', caps: ['CAP_SYS_ADMIN'] });
  assert.deepEqual(
    syscalls.map(({ names, action }) => `${names.join()} ${action}`),
    ['read,write SCMP_ACT_ALLOW', 'arch_prctl SCMP_ACT_ALLOW', 'mount SCMP_ACT_ALLOW', 'socket SCMP_ACT_ERRNO'],
  );
});

test('seccompFor() refuses an architecture it has no name for', () => {
  assert.throws(() => seccompFor(profile, { arch: 'sparc', caps: [] }), /for sparc: want one of arm64, amd64/);
});

test('parseContainersProfile() refuses what is not a profile', () => {
  assert.throws(() => parseContainersProfile('{"defaultAction": 1}'));
});
