// Runs `leash.sandboxed.ts`: the leash alone, on control groups of its own.
import { test } from 'node:test';
import { runSandboxed } from '../../agent/containers/sandbox.fixture.ts';

test('the leash knows every customer by its name', { timeout: 120_000 }, (context) =>
  runSandboxed(context, {
    program: new URL('leash.sandboxed.ts', import.meta.url),
    prepare: '',
    testTimeoutMs: 100_000,
    timeoutMs: 110_000,
  }),
);
