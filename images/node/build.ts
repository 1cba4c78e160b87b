/**
 * The node image: what a board boots into. One initramfs with everything of ours (init, leash, agent) and the boot modules,
 * and one squashfs with everything from packages (Node.js, crun, nft, kernel modules). Ours is in the small file, so that a
 * change to the agent costs a second and the squashfs, which every board of a rack fetches, stays the same.
 *
 *   <cache>/images/node-base/<recipe>/  vmlinuz vmlinuz.gz dtb/… root.squashfs boot/ base.json
 *   <cache>/images/node/<key>/          the same files, initrd.gz, manifest.json
 *   <cache>/images/node/current         link to the one built last
 *
 * Imports nothing above images/: the agent's sources come in as paths.
 */
import { existsSync } from 'node:fs';
import {
  link,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { sha256 } from '../digest.ts';
import { describeArtefact, loadNodeImage, type NodeImage, type NodeImageManifest } from '../manifest.ts';
import { megabytes, type Progress } from '../progress.ts';
import { buildBase, readBaseManifest, recipeDigest, type BaseManifest } from './base.ts';
import { bundleAgent, type BundledFile, type EntryPoints } from '../bundle.ts';
import { cpioArchive, type CpioEntry } from './cpio.ts';
import { epochSeconds } from './recipe.ts';

export interface NodeImageOptions {
  cacheDir: string;
  /** The agent's sources by their name on the node; must have `agent`. */
  entryPoints: EntryPoints;
  progress: Progress;
  signal?: AbortSignal | undefined;
}

/** How many images of earlier agents are kept; they share all but the initramfs with the newest. */
const keptImagesLimit = 8;

/**
 * Builds the node image, or finds it in the cache: no mirror is asked unless the recipe of the base layer changed.
 * What a cached file lost to a full disk or a power cut is built anew. Throws when a tool or a package is missing, or a pin
 * does not hold.
 */
export async function buildNodeImage(options: NodeImageOptions): Promise<NodeImage> {
  const { cacheDir, entryPoints, progress } = options;
  if (!('agent' in entryPoints)) throw new Error('cannot build the node image: no entry point named agent');
  const images = resolve(cacheDir, 'images/node');
  await mkdir(images, { recursive: true });
  const baseDir = await baseLayer(options);
  const base = await readBaseManifest(baseDir);
  const ours = await ourFiles(entryPoints, cacheDir);
  const key = sha256(JSON.stringify([base, await ownSources(), ours.map((file) => [file.path, sha256(file.data)])]));
  const dir = join(images, key);
  const isCached = existsSync(join(dir, 'manifest.json'));
  if (!isCached) {
    const step = progress.step('node image');
    const manifest = await assemble({ images, dir, key, base, baseDir, ours });
    step.done(`initrd ${megabytes(manifest.initrd.sizeBytes)}, root ${megabytes(manifest.root.sizeBytes)}`);
  }
  await pointTo(images, key);
  await prune(images, key);
  try {
    return await loadNodeImage(dir);
  } catch (error) {
    if (!isCached) throw error;
    progress.step('damaged node image').done(error instanceof Error ? error.message : String(error));
    // Both layers are the same files, by hard links.
    for (const damaged of [dir, baseDir]) await rm(damaged, { recursive: true, force: true });
    return await buildNodeImage(options);
  }
}

async function baseLayer({ cacheDir, progress, signal }: NodeImageOptions): Promise<string> {
  const parent = resolve(cacheDir, 'images/node-base');
  const dir = join(parent, await recipeDigest());
  if (existsSync(join(dir, 'base.json'))) return dir;
  await mkdir(parent, { recursive: true });
  const partial = await mkdtemp(join(parent, 'partial-'));
  try {
    await buildBase(partial, { cacheDir, progress, signal });
    await publish(partial, dir);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return dir;
}

/** Whoever builds the same thing at the same time may be first: then theirs is as good. */
async function publish(partial: string, dir: string): Promise<void> {
  try {
    await rename(partial, dir);
  } catch (error) {
    const taken = error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EEXIST');
    if (!taken) throw error;
  }
}

type OurFile = Extract<CpioEntry, { kind: 'file' }>;

/** Everything of ours, at its path in the initramfs; what is below overlay/ ends up in the node's root. */
async function ourFiles(entryPoints: EntryPoints, cacheDir: string): Promise<OurFile[]> {
  const bundle: BundledFile[] = await bundleAgent(entryPoints, cacheDir);
  const udhcpc = await nodeScript('udhcpc');
  return [
    executable('init', await nodeScript('initramfs')),
    executable('etc/udhcpc.sh', udhcpc),
    executable('overlay/init', await nodeScript('init')),
    executable('overlay/etc/udhcpc.sh', udhcpc),
    executable('overlay/opt/muster/leash.sh', await nodeScript('leash')),
    executable('overlay/opt/muster/leash-hand.sh', await nodeScript('leash-hand')),
    ...bundle.map(({ name, data }): OurFile => ({
      path: `overlay/opt/muster/${name}`,
      kind: 'file',
      mode: 0o644,
      data,
    })),
  ];
}

function executable(path: string, data: Uint8Array): OurFile {
  return { path, kind: 'file', mode: 0o755, data };
}

/** The scripts of this folder that go onto a node. */
function nodeScript(name: 'init' | 'initramfs' | 'leash' | 'leash-hand' | 'udhcpc'): Promise<Buffer> {
  return readFile(new URL(`${name}.sh`, import.meta.url));
}

/** How the initramfs is put together is part of the image too. */
async function ownSources(): Promise<string> {
  const texts = await Promise.all(
    ['build.ts', 'cpio.ts'].map((file) => readFile(new URL(file, import.meta.url), 'utf8')),
  );
  return sha256(texts.join('\0'));
}

interface AssembleOptions {
  images: string;
  dir: string;
  key: string;
  base: BaseManifest;
  baseDir: string;
  ours: OurFile[];
}

async function assemble({ images, dir, key, base, baseDir, ours }: AssembleOptions): Promise<NodeImageManifest> {
  const partial = await mkdtemp(join(images, 'partial-'));
  try {
    const { kernelRelease, kernel, kernelGz, root, dtb, packages, node } = base;
    for (const { file } of [kernel, kernelGz, root, ...Object.values(dtb)]) {
      await mkdir(dirname(join(partial, file)), { recursive: true });
      await link(join(baseDir, file), join(partial, file));
    }
    const archive = cpioArchive([...(await bootTree(baseDir)), ...ours], epochSeconds);
    await writeFile(
      join(partial, 'initrd.gz'),
      await promisify(gzip)(archive, { level: constants.Z_BEST_COMPRESSION }),
    );
    const initrd = await describeArtefact(partial, 'initrd.gz');
    const manifest: NodeImageManifest = {
      version: 1,
      key,
      kernelRelease,
      kernel,
      kernelGz,
      initrd,
      root,
      dtb,
      packages,
      node,
    };
    await writeFile(join(partial, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    await publish(partial, dir);
    return manifest;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function bootTree(baseDir: string): Promise<CpioEntry[]> {
  const boot = join(baseDir, 'boot');
  const entries: CpioEntry[] = ['dev', 'proc', 'sys', 'run'].map((path) => ({ path, kind: 'directory' }));
  entries.push({ path: 'sbin', kind: 'link', target: 'bin' });
  // The kernel starts /init by its #! line and calls /sbin/modprobe by path; everything else is busybox sh's own.
  for (const applet of ['sh', 'modprobe']) entries.push({ path: `bin/${applet}`, kind: 'link', target: 'busybox' });
  for (const file of await readdir(boot, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const path = join(file.parentPath, file.name);
    const mode = file.name === 'busybox' ? 0o755 : 0o644;
    entries.push({ path: relative(boot, path), kind: 'file', mode, data: await readFile(path) });
  }
  return entries;
}

async function pointTo(images: string, key: string): Promise<void> {
  const current = join(images, 'current');
  if (existsSync(current) && (await readlink(current)) === key) return;
  const next = join(images, `current-${process.pid}`);
  await rm(next, { force: true });
  await symlink(key, next);
  await rename(next, current);
}

async function prune(images: string, key: string): Promise<void> {
  await utimes(join(images, key), new Date(), new Date());
  const keys = (await readdir(images)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  if (keys.length <= keptImagesLimit) return;
  const aged = await Promise.all(
    keys.map(async (name) => ({ name, usedMs: (await stat(join(images, name))).mtimeMs })),
  );
  aged.sort((a, b) => b.usedMs - a.usedMs);
  for (const { name } of aged.slice(keptImagesLimit)) await rm(join(images, name), { recursive: true, force: true });
}
