// Runs `hostile.sandboxed.ts`: real crun, and customers who mean harm.
import { test } from 'node:test';
import { runSandboxed } from './sandbox.fixture.ts';

test('a hostile container is confined and dies in time', { timeout: 200_000 }, (context) =>
  runSandboxed(context, {
    program: new URL('hostile.sandboxed.ts', import.meta.url),
    prepare: '',
    testTimeoutMs: 120_000,
    timeoutMs: 190_000,
  }),
);
