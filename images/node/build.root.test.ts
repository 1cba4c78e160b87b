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

// One test for both: each whole build takes both cores for a minute.
test(
  'a file that was damaged in the cache is built anew, and from the same packages with the same digest',
  { timeout: 500_000 },
  async (context) => {
    const { manifest } = await buildNodeImage(options);
    const cacheDir = await mkdtemp(join(options.cacheDir, 'damaged-'));
    context.after(() => rm(cacheDir, { recursive: true }));
    for (const shared of ['apt', 'downloads']) await symlink(join(options.cacheDir, shared), join(cacheDir, shared));
    await cp(join(options.cacheDir, 'images/node-base'), join(cacheDir, 'images/node-base'), { recursive: true });
    const { dir } = await buildNodeImage({ ...options, cacheDir });
    const file = await open(join(dir, manifest.root.file), 'r+');
    await file.write('a byte of another file', 1_000_000);
    await file.close();
    const again = await buildNodeImage({ ...options, cacheDir, signal: context.signal });
    await loadNodeImage(again.dir);
    let builds = { first: manifest.root.sha256, second: again.manifest.root.sha256 };
    // Debian may have moved a package since the first was built.
    if (JSON.stringify(again.manifest.packages) !== JSON.stringify(manifest.packages))
      builds = await verifyNodeImage({ ...options, signal: context.signal });
    assert.equal(builds.second, builds.first);
  },
);

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
