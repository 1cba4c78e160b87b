// Runs `images.sandboxed.ts`: real crun, and images in the manner of public reports.
import { test } from 'node:test';
import { rackCable, runSandboxed } from './sandbox.fixture.ts';

test('any image runs as docker runs it', { timeout: 300_000 }, (context) =>
  runSandboxed(context, {
    program: new URL('images.sandboxed.ts', import.meta.url),
    prepare: rackCable,
    testTimeoutMs: 60_000,
    timeoutMs: 290_000,
  }),
);
