import assert from 'node:assert/strict';
import { cp, mkdtemp, open, rm, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { loadNodeImage } from '../manifest.ts';
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

test('a file that was damaged in the cache is built anew', { timeout: 280_000 }, async (context) => {
  const { manifest } = await buildNodeImage(options);
  const cacheDir = await mkdtemp(join(options.cacheDir, 'damaged-'));
  context.after(() => rm(cacheDir, { recursive: true }));
  for (const shared of ['apt', 'downloads']) await symlink(join(options.cacheDir, shared), join(cacheDir, shared));
  await cp(join(options.cacheDir, 'images/node-base'), join(cacheDir, 'images/node-base'), { recursive: true });
  const { dir } = await buildNodeImage({ ...options, cacheDir });
  const file = await open(join(dir, manifest.root.file), 'r+');
  await file.write('a byte of another file', 1_000_000);
  await file.close();
  const again = await buildNodeImage({ ...options, cacheDir });
  await loadNodeImage(again.dir);
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
  await buildNodeImage({ ...options, progress });
  assert.deepEqual(steps, []);
});
