/**
 * A customer's container image into the one file that a node fetches: OCI layout, OCI archive or `docker save` in, zstd
 * squashfs out, named by its sha256.
 *
 *     archive ──index──▶ manifest of the wanted architecture ──▶ layers, each checked by digest and diff_id
 *     layers ──merge in memory (tree.ts)──▶ one tar stream ──▶ mksquashfs ──▶ <storeDirectory>/<sha256>.squashfs
 *
 * The image is whatever somebody built or downloaded: it is read as hostile, with bounds on size, count and depth, and never
 * unpacked as files. An import that fails or is aborted leaves nothing in `storeDirectory`. Imports only `protocol/` and
 * what else is in `images/`.
 */
import { mkdir, mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { accountsLimitBytes, resolveUser } from '../../protocol/container/container-user.ts';
import { configurationProblem } from '../../protocol/desired-state.ts';
import { imageNamePattern, squashfsName } from '../../protocol/names.ts';
import type { Image } from '../../protocol/api/images.ts';
import { sha256File } from '../digest.ts';
import { megabytes, silentProgress, type Progress } from '../progress.ts';
import { runSettings } from './container-format.ts';
import { chooseImage, type Chosen } from './image-choice.ts';
import { copyFromRegistry, type RegistryLogin } from './registry-source.ts';
import { openSource, unpack } from './source.ts';
import { contentOf, writeSquashfs } from './squashfs.ts';
import { readTar, shown } from './tar.ts';
import { Tree, type Inode } from './tree.ts';

export interface ImportOptions {
  /** Path of an archive or a layout directory, or `docker://…` where skopeo is installed. */
  source: string;
  /** Of a registry. */
  login?: RegistryLogin | undefined;
  /** Of a registry; true where left out. */
  checksCertificate?: boolean | undefined;
  /** What the image will be called; also picks from an archive with several. */
  name: string;
  /** Where `<sha256>.squashfs` goes; made if missing. */
  storeDirectory: string;
  /** Where it keeps what it unpacks meanwhile, on the same file system; `storeDirectory` when left out. */
  workDirectory?: string;
  /** As container images spell it. */
  architecture?: string;
  progress?: Progress | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds since 1970, for `importedAt`. */
  now?: () => number;
  limits?: Partial<ImportLimits>;
}

export interface ImportLimits {
  /** All layers together, unpacked. A node holds the squashfs in its memory, so more would not run anyway. */
  unpackedBytes: number;
  /** Files in all layers together. */
  entries: number;
  /** In one directory. mksquashfs 4.5 took 0.5 s over 10,000, 1.6 s over 20,000, 6.5 s over 40,000, over 10 minutes over 200,000. */
  directoryEntries: number;
  nameBytes: number;
  /** From a registry, compressed. */
  fetchedBytes: number;
}

const defaultLimits: ImportLimits = {
  unpackedBytes: 4 * 2 ** 30,
  entries: 500_000,
  directoryEntries: 20_000,
  nameBytes: 64 * 2 ** 20,
  fetchedBytes: 8 * 2 ** 30,
};
const imageName = new RegExp(imageNamePattern);

/** Throws one sentence that says what is wrong with the image, or with the machine. */
export async function importImage(options: ImportOptions): Promise<Image> {
  const {
    source,
    name,
    storeDirectory,
    workDirectory = storeDirectory,
    architecture = 'arm64',
    progress = silentProgress,
    signal,
    now = Date.now,
  } = options;
  const limits = { ...defaultLimits, ...options.limits };
  if (!imageName.test(name)) {
    throw new Error(
      `cannot import ${JSON.stringify(name)}: an image's name is like web or team/web:1.2, in lower case`,
    );
  }
  await mkdir(storeDirectory, { recursive: true });
  const workDir = await mkdtemp(join(workDirectory, '.import-'));
  try {
    const path = source.startsWith('docker://')
      ? await copyFromRegistry({
          source,
          name,
          architecture,
          workDir,
          login: options.login,
          checksCertificate: options.checksCertificate ?? true,
          mostBytes: limits.fetchedBytes,
          progress,
          signal,
        })
      : source;
    const opened = await openSource({ source: path, what: name, workDir, mostBytes: limits.unpackedBytes, signal });
    const chosen = await chooseImage({ source: opened, name, architecture });
    const settings = settingsOf(chosen, name);
    const { entrypoint, cmd, ...started } = settings;
    const problem = configurationProblem({ args: [...entrypoint, ...cmd], ...started });
    if (problem !== undefined) throw new Error(`cannot import ${name}: ${problem}`);
    const reading = progress.step(`reading ${chosen.layers.length} layers of ${name}`);
    const { tree, layers, unpackedBytes } = await readLayers({ chosen, workDir, limits, signal });
    reading.done(megabytes(unpackedBytes) + (tree.devices > 0 ? `, ${tree.devices} device nodes left out` : ''));

    const accounts = {
      passwd: await readText(tree.find('etc/passwd'), layers),
      group: await readText(tree.find('etc/group'), layers),
    };
    // Boards resolve it again, by the same files: here it is refused before anybody deploys it.
    resolveUser(settings.user, accounts);

    const packing = progress.step(`packing ${name}`);
    const made = join(workDir, 'image.squashfs');
    await writeSquashfs({ tree, layers, to: made, nowMs: now(), signal });
    const digest = await sha256File(made);
    const { size: sizeBytes } = await stat(made);
    // On the disk before its name says so: a node trusts the name's digest, and the store remembers it.
    await using file = await open(made);
    await file.sync();
    await rename(made, join(storeDirectory, squashfsName(digest)));
    packing.done(megabytes(sizeBytes));
    return {
      name,
      digest: chosen.digest,
      architecture: chosen.architecture,
      squashfs: { sha256: digest, sizeBytes },
      config: settings,
      importedAt: now(),
    };
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

function settingsOf({ configuration }: Chosen, name: string): ReturnType<typeof runSettings> {
  try {
    return runSettings(configuration);
  } catch (cause) {
    throw new Error(`cannot import ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

interface ReadOptions {
  chosen: Chosen;
  workDir: string;
  limits: ImportLimits;
  signal: AbortSignal | undefined;
}

async function readLayers({ chosen, workDir, limits, signal }: ReadOptions) {
  const tree = new Tree(limits);
  const paths: string[] = [];
  let unpackedBytes = 0;
  for (const [index, { member, storedSha256, diffId, what }] of chosen.layers.entries()) {
    const path = join(workDir, `layer-${index}.tar`);
    const left = limits.unpackedBytes - unpackedBytes;
    const { sizeBytes, readSha256, writtenSha256 } = await unpack({ member, to: path, what, mostBytes: left, signal });
    if (storedSha256 !== undefined && readSha256 !== storedSha256) {
      throw new Error(`cannot import ${what}: its sha256 is ${readSha256}, want ${storedSha256}`);
    }
    if (writtenSha256 !== diffId) {
      throw new Error(`cannot import ${what}: unpacked, its sha256 is ${writtenSha256}, want ${diffId}`);
    }
    unpackedBytes += sizeBytes;
    await using file = await open(path);
    for await (const entry of readTar(file, { what, sizeBytes })) {
      signal?.throwIfAborted();
      // Holes cost nothing in the layer, and everything when they are packed.
      unpackedBytes += entry.extents === undefined ? 0 : entry.sizeBytes;
      if (unpackedBytes > limits.unpackedBytes)
        throw new Error(
          `cannot import ${what}: with the sparse file ${shown(entry.name)} it is more than the ${limits.unpackedBytes} bytes that an image may unpack to`,
        );
      tree.add(entry, index);
    }
    paths.push(path);
  }
  return { tree, layers: paths, unpackedBytes };
}

async function readText(inode: Inode | undefined, layers: readonly string[]): Promise<string> {
  const path = inode?.content === undefined ? undefined : layers[inode.content.layer];
  if (inode?.content === undefined || path === undefined) return '';
  const { sizeBytes } = inode.content;
  if (sizeBytes > accountsLimitBytes) {
    throw new Error(`cannot read the image's accounts: ${sizeBytes} bytes, want at most ${accountsLimitBytes}`);
  }
  await using file = await open(path);
  const pieces: Buffer[] = [];
  for await (const piece of contentOf(inode.content, file)) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}
