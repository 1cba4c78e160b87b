// Runs `agent.sandboxed.ts`: the agent's process on a node whose cable leads nowhere.
import { test } from 'node:test';
import { runSandboxed } from './containers/sandbox.fixture.ts';

const prepare = `
ip link add rack0 type veth peer name rack1
ip address add 10.77.0.50/24 dev rack0
ip link set rack0 up
ip link set rack1 up
`;

test('an agent as a process: join, containers, kill, leash, restart', { timeout: 240_000 }, (context) =>
  runSandboxed(context, {
    program: new URL('agent.sandboxed.ts', import.meta.url),
    prepare,
    testTimeoutMs: 230_000,
    timeoutMs: 230_000,
  }),
);
