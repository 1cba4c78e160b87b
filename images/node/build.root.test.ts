import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { silentProgress } from '../progress.ts';
import { buildNodeImage } from './build.ts';
import { verifyNodeImage } from './verify.ts';

const root = resolve(import.meta.dirname, '../..');
const options = {
  cacheDir: process.env['MUSTER_CACHE'] ?? resolve(root, '.cache'),
  entryPoints: { agent: resolve(root, 'agent/main.ts'), telemetry: resolve(root, 'agent/telemetry.ts') },
  progress: silentProgress,
};

test('two builds of the node image from the same packages have one digest', { timeout: 280_000 }, async (context) => {
  const { first, second } = await verifyNodeImage({ ...options, signal: context.signal });
  assert.equal(second, first);
});

test('an unchanged node image comes from the cache without a step', async () => {
  const steps: string[] = [];
  const progress = {
    step(name: string) {
      steps.push(name);
      return { done: () => undefined };
    },
  };
  await buildNodeImage(options);
  const before = performance.now();
  await buildNodeImage({ ...options, progress });
  assert.deepEqual(steps, []);
  // 110 ms on a busy machine; a build takes more than a second.
  assert.ok(performance.now() - before < 1_000);
});
