// Runs `checks.sandboxed.ts`: containers by real crun that are well, unwell and hostile, on a node of their own.
import { test } from 'node:test';
import { runSandboxed } from '../containers/sandbox.fixture.ts';

const prepare = `
ip link add rack0 type bridge
ip address add 10.77.0.50/24 dev rack0
ip link set rack0 up
`;

test('instances are checked in real containers', { timeout: 400_000 }, (context) =>
  runSandboxed(context, {
    program: new URL('checks.sandboxed.ts', import.meta.url),
    prepare,
    testTimeoutMs: 120_000,
    timeoutMs: 390_000,
  }),
);
