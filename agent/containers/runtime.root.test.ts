// Runs `runtime.sandboxed.ts`: real crun, on a node with one cable to a rack that is a namespace of its own.
import { test } from 'node:test';
import { rackCable, runSandboxed } from './sandbox.fixture.ts';

test('containers run, answer, are stopped and adopted with real crun', { timeout: 500_000 }, (context) =>
  runSandboxed(context, {
    program: new URL('runtime.sandboxed.ts', import.meta.url),
    prepare: rackCable,
    testTimeoutMs: 120_000,
    timeoutMs: 490_000,
  }),
);
