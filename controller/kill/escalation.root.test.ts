// Runs `escalation.sandboxed.ts`, with a home of root's that is made for it and nothing but loopback for a network.
import { test } from 'node:test';
import { runSandboxed } from '../../agent/containers/sandbox.fixture.ts';

const prepare = `
mkdir -p -m 700 /run/home/.ssh
echo 'root:x:0:0:root:/run/home:/bin/sh' >/run/passwd
grep -v '^root:' /etc/passwd >>/run/passwd
mount --bind /run/passwd /etc/passwd
`;

test('SSH, then power, against real dropbear, control groups and snmpd', { timeout: 280_000 }, (context) =>
  runSandboxed(context, {
    program: new URL('escalation.sandboxed.ts', import.meta.url),
    prepare,
    testTimeoutMs: 90_000,
    timeoutMs: 270_000,
  }),
);
