import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { describeArtefact, loadNodeImage, type NodeImageManifest } from './manifest.ts';

async function imageIn(context: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'muster-manifest-'));
  context.after(() => rm(dir, { recursive: true }));
  for (const file of ['vmlinuz', 'vmlinuz.gz', 'initrd.gz', 'root.squashfs', 'c2.dtb'])
    await writeFile(join(dir, file), file);
  const manifest: NodeImageManifest = {
    version: 1,
    key: 'a'.repeat(64),
    kernelRelease: '6.12',
    kernel: await describeArtefact(dir, 'vmlinuz'),
    kernelGz: await describeArtefact(dir, 'vmlinuz.gz'),
    initrd: await describeArtefact(dir, 'initrd.gz'),
    root: await describeArtefact(dir, 'root.squashfs'),
    dtb: { 'amlogic/c2.dtb': await describeArtefact(dir, 'c2.dtb') },
    packages: [{ name: 'crun', version: '1.21-1', sha256: 'b'.repeat(64) }],
    node: { version: '24.0.0', integrity: 'sha512-x' },
  };
  await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest));
  return dir;
}

test('loadNodeImage() gives an image whose files are what the manifest says', async (context) => {
  const dir = await imageIn(context);
  const { manifest } = await loadNodeImage(dir);
  assert.equal(manifest.kernel.sizeBytes, 7);
});

test('loadNodeImage() names the file that was changed', async (context) => {
  const dir = await imageIn(context);
  await writeFile(join(dir, 'root.squashfs'), 'ROOT.squashfs');
  await assert.rejects(loadNodeImage(dir), /root\.squashfs: sha256 [0-9a-f]{64}, want/);
  await writeFile(join(dir, 'root.squashfs'), 'short');
  await assert.rejects(loadNodeImage(dir), /root\.squashfs: 5 bytes, want 13/);
});

test('loadNodeImage() refuses a manifest that is none', async (context) => {
  const dir = await imageIn(context);
  await writeFile(join(dir, 'manifest.json'), '{"version": 2}');
  await assert.rejects(loadNodeImage(dir), /cannot use .*manifest\.json/);
});
