import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { type Artefact, loadBootArtefacts } from './artefacts.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const text = async (artefact: Artefact | undefined): Promise<string | undefined> =>
  (await artefact?.bytes())?.toString();
const pinned = (file: string) => ({ file, sha256: sha256(file), sizeBytes: file.length });

async function cache(): Promise<{ cacheDir: string; [Symbol.asyncDispose](): Promise<void> }> {
  const cacheDir = await mkdtemp(path.join(tmpdir(), 'muster-artefacts-'));
  const [image, ipxe] = [path.join(cacheDir, 'images/node/current'), path.join(cacheDir, 'ipxe/current')];
  await mkdir(image, { recursive: true });
  await mkdir(ipxe, { recursive: true });
  const files = { kernel: pinned('k'), kernelGz: pinned('kg'), initrd: pinned('i'), root: pinned('r') };
  for (const { file } of [...Object.values(files), pinned('d')]) await writeFile(path.join(image, file), file);
  const manifest = { version: 1, key: sha256('key'), kernelRelease: '6.12', ...files, dtb: { 'a/b.dtb': pinned('d') } };
  const node = { version: '24', integrity: 'x' };
  await writeFile(path.join(image, 'manifest.json'), JSON.stringify({ ...manifest, packages: [], node }));
  for (const file of ['e', 'u']) await writeFile(path.join(ipxe, file), file);
  const binary = {
    version: 1,
    suite: 'sid',
    packageVersion: '2.0',
    hashCheck: true,
    efi: pinned('e'),
    uboot: pinned('u'),
  };
  await writeFile(path.join(ipxe, 'manifest.json'), JSON.stringify(binary));
  return { cacheDir, [Symbol.asyncDispose]: () => rm(cacheDir, { recursive: true }) };
}

test('loadBootArtefacts() reads what the manifests name', async () => {
  await using it = await cache();
  await using loaded = await loadBootArtefacts(it);
  const { kernelGz, dtb, ipxe } = loaded;
  assert.deepEqual(
    [await text(kernelGz), await text(dtb.get('a/b.dtb')), await text(ipxe.patched), ipxe.version],
    ['kg', 'd', 'u', '2.0'],
  );
});

test('a boot file that changed on the disk after the start is refused, and served again when it is itself', async () => {
  await using it = await cache();
  await using loaded = await loadBootArtefacts(it);
  const { root } = loaded;
  const location = path.join(it.cacheDir, 'images/node/current/r');
  await writeFile(location, 'x');
  await assert.rejects(root.bytes(), /current\/r: sha256 [0-9a-f]{64}, want [0-9a-f]{64}/);
  await writeFile(location, 'r');
  assert.equal(await text(root), 'r');
});

test('the next image, and a cleared cache, take nothing away from who serves the one before', async () => {
  await using it = await cache();
  await using loaded = await loadBootArtefacts(it);
  const { initrd, root } = loaded;
  const current = path.join(it.cacheDir, 'images/node/current');
  await rename(current, `${current}-before`);
  await mkdir(current);
  await writeFile(path.join(current, 'r'), 'the root image of the next build');
  assert.equal(await text(root), 'r');
  await rm(`${current}-before`, { recursive: true });
  assert.equal(await text(initrd), 'i');
});

test('loadBootArtefacts() names every file that is missing or not what it was', async () => {
  await using it = await cache();
  await writeFile(path.join(it.cacheDir, 'images/node/current/r'), 'changed');
  await rm(path.join(it.cacheDir, 'ipxe/current/u'));
  await assert.rejects(loadBootArtefacts(it), (error: Error) => {
    assert.match(error.message, /^cannot serve boot files:\n/);
    assert.match(error.message, /current\/r: sha256 [0-9a-f]{64}, want [0-9a-f]{64}/);
    assert.match(error.message, /no such file.*current\/u/);
    return true;
  });
});
