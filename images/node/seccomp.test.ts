import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deniedCalls } from './seccomp-denied.ts';
import { type OciSeccomp, parseContainersProfile, seccompFor } from './seccomp.ts';

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
      {
        names: ['quotactl'],
        action: 'SCMP_ACT_ALLOW',
        args: null,
        includes: { caps: ['CAP_SYS_ADMIN'] },
        excludes: {},
      },
      { names: ['quotactl'], action: 'SCMP_ACT_ERRNO', excludes: { caps: ['CAP_SYS_ADMIN', 'CAP_X'] }, errnoRet: 1 },
    ],
  }),
);

const isAllowed = ({ syscalls }: OciSeccomp, call: string) =>
  syscalls.some(({ names, action, args }) => names.includes(call) && action === 'SCMP_ACT_ALLOW' && !args);

test('seccompFor() without capabilities keeps the common rules, the architecture, and what is forbidden', () => {
  const { syscalls, ...rest } = seccompFor(profile, { arch: 'arm64', caps: [] });
  assert.deepEqual(rest, {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
  });
  assert.deepEqual(syscalls.slice(0, 3), [
    { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
    { names: ['cacheflush'], action: 'SCMP_ACT_ALLOW' },
    { names: ['quotactl'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
  ]);
});

test('seccompFor() with a capability takes the rules that need it and drops those it excludes', () => {
  const { syscalls } = seccompFor(profile, { arch: 'amd64', caps: ['CAP_SYS_ADMIN'] });
  assert.deepEqual(
    syscalls.slice(0, 3).map(({ names, action }) => `${names.join()} ${action}`),
    ['read,write SCMP_ACT_ALLOW', 'arch_prctl SCMP_ACT_ALLOW', 'quotactl SCMP_ACT_ALLOW'],
  );
});

test('seccompFor() lets nobody make namespaces, mount, trace, or open sockets of odd families, whatever the profile says', () => {
  const generous = parseContainersProfile(
    JSON.stringify({
      defaultAction: 'SCMP_ACT_ERRNO',
      archMap: [{ architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] }],
      syscalls: [{ names: [...deniedCalls, 'clone', 'clone3', 'socket', 'read'], action: 'SCMP_ACT_ALLOW' }],
    }),
  );
  const made = seccompFor(generous, { arch: 'arm64', caps: [] });
  assert.equal(isAllowed(made, 'read'), true);
  for (const call of [...deniedCalls, 'clone', 'clone3', 'socket']) assert.equal(isAllowed(made, call), false, call);
  const rulesOf = (call: string) => made.syscalls.filter(({ names }) => names.includes(call));
  assert.deepEqual(rulesOf('clone'), [
    { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 0x7e020000, op: 'SCMP_CMP_MASKED_EQ' }] },
  ]);
  assert.deepEqual(rulesOf('clone3'), [{ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }]);
  const families = rulesOf('socket').filter(({ action }) => action === 'SCMP_ACT_ALLOW');
  assert.deepEqual(
    families.map(({ args }) => args?.map(({ value }) => value)),
    [[1], [2], [10], [16, 0]],
  );
});

test('seccompFor() refuses an architecture it has no name for', () => {
  assert.throws(() => seccompFor(profile, { arch: 'sparc', caps: [] }), /for sparc: want one of arm64, amd64/);
});

test('parseContainersProfile() refuses what is not a profile', () => {
  assert.throws(() => parseContainersProfile('{"defaultAction": 1}'));
});
