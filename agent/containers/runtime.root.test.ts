// Runs `runtime.sandboxed.ts`: real crun, on a node with one cable to a rack that is a namespace of its own.
import { test } from 'node:test';
import { runSandboxed } from './sandbox.fixture.ts';

const prepare = `
ip netns add rack
ip link add rack0 type veth peer name eth0 netns rack
ip address add 10.77.0.50/24 dev rack0
ip link set rack0 up
ip -n rack address add 10.77.0.1/24 dev eth0
ip -n rack link set eth0 up
`;

test('containers run, answer, are stopped and adopted with real crun', { timeout: 500_000 }, (context) =>
  runSandboxed(context, {
    program: new URL('runtime.sandboxed.ts', import.meta.url),
    prepare,
    testTimeoutMs: 120_000,
    timeoutMs: 490_000,
  }),
);
