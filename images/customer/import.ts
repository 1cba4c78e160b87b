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
import { basename, join } from 'node:path';
import { accountsLimitBytes, resolveUser } from '../../protocol/container/container-user.ts';
import { configurationProblem } from '../../protocol/desired-state.ts';
import { imageNamePattern, squashfsName } from '../../protocol/names.ts';
import type { Image } from '../../protocol/api/images.ts';
import { run } from '../command.ts';
import { sha256, sha256File } from '../digest.ts';
import { megabytes, silentProgress, type Progress } from '../progress.ts';
import {
  Configuration,
  Descriptor,
  DockerManifest,
  Index,
  Manifest,
  parseDocument,
  runSettings,
} from './container-format.ts';
import { openSource, readMember, unpack, type Member, type Source } from './source.ts';
import { writeSquashfs } from './squashfs.ts';
import { readTar, shown } from './tar.ts';
import { Tree, type Inode } from './tree.ts';

export interface ImportOptions {
  /** Path of an archive or a layout directory, or `docker://…` where skopeo is installed. */
  source: string;
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
}

const defaultLimits: ImportLimits = {
  unpackedBytes: 4 * 2 ** 30,
  entries: 500_000,
  directoryEntries: 20_000,
  nameBytes: 64 * 2 ** 20,
};
/** What an archive says of itself, in a sentence of ours. */
const describedLimit = 500;
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
      ? await copyFromRegistry({ source, architecture, workDir, signal })
      : source;
    const opened = await openSource({ source: path, what: name, workDir, mostBytes: limits.unpackedBytes, signal });
    const chosen = await chooseImage({ source: opened, name, architecture });
    const settings = runSettings(chosen.configuration);
    const { entrypoint, cmd, ...started } = settings;
    const problem = configurationProblem({ args: [...entrypoint, ...cmd], ...started });
    if (problem !== undefined) throw new Error(`cannot import ${name}: ${problem}`);
    const reading = progress.step(`reading ${chosen.layers.length} layers of ${name}`);
    const { tree, layers, unpackedBytes } = await readLayers({ chosen, workDir, limits, signal });
    reading.done(megabytes(unpackedBytes) + (tree.devices > 0 ? `, ${tree.devices} device nodes left out` : ''));

    const configuration = chosen.configuration;
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
      architecture: configuration.architecture,
      squashfs: { sha256: digest, sizeBytes },
      config: settings,
      importedAt: now(),
    };
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

interface Layer {
  member: Member;
  /** sha256 as stored; `docker save` does not say. */
  storedSha256: string | undefined;
  /** sha256 unpacked. */
  diffId: string;
  what: string;
}

interface Chosen {
  /** Of the manifest; of the configuration (docker's image id) in a `docker save` archive, which has no manifest digest. */
  digest: string;
  configuration: Configuration;
  layers: Layer[];
}

interface Wanted {
  source: Source;
  name: string;
  architecture: string;
}

interface Candidate extends Chosen {
  names: string[];
}

async function chooseImage({ source, name, architecture }: Wanted): Promise<Chosen> {
  // Newer `docker save` archives are both; the OCI side carries digests of everything.
  const index = await source.find('index.json');
  const docker = index === undefined ? await source.find('manifest.json') : undefined;
  let candidates: Candidate[] = [];
  if (index !== undefined) candidates = await ociImages(source, index);
  else if (docker !== undefined) candidates = await dockerImages(source, docker);
  else
    throw new Error(`cannot import ${source.what}: neither index.json (OCI) nor manifest.json (docker save) is in it`);

  const describe = (list: Candidate[]) => {
    const text = list
      .map(({ configuration: { os, architecture: arch }, names }) => [`${os}/${arch}`, ...names].join(' '))
      .join(', ');
    return text.length > describedLimit ? `${text.slice(0, describedLimit)}…` : text;
  };
  const fitting = candidates.filter(
    ({ configuration }) => configuration.os === 'linux' && configuration.architecture === architecture,
  );
  const distinct = [...new Map(fitting.map((candidate) => [candidate.digest, candidate])).values()];
  const [first] = distinct;
  if (first === undefined) {
    throw new Error(
      `cannot import ${source.what}: want linux/${architecture}, it holds ${candidates.length === 0 ? 'no image' : describe(candidates)}`,
    );
  }
  if (distinct.length === 1) return checked(first, source);
  const named = fitting.filter(({ names }) => names.some((own) => own === name || own.split('/').at(-1) === name));
  const [only] = named;
  if (only === undefined || named.some(({ digest }) => digest !== only.digest)) {
    throw new Error(
      `cannot import ${source.what}: it holds ${distinct.length} images for linux/${architecture} (${describe(distinct)}), ` +
        'want the name of one of them',
    );
  }
  return checked(only, source);
}

function checked(chosen: Candidate, source: Source): Chosen {
  const { layers, configuration } = chosen;
  if (layers.length === 0) throw new Error(`cannot import ${source.what}: the image has no layers`);
  if (layers.length !== configuration.rootfs.diff_ids.length) {
    throw new Error(
      `cannot import ${source.what}: ${layers.length} layers, but its configuration lists ${configuration.rootfs.diff_ids.length}`,
    );
  }
  return chosen;
}

const indexType = /index|manifest\.list/;
const nestingLimit = 3;
const manifestLimit = 256;

interface Visited {
  what: string;
  /** Of the index that lists this one. */
  names: string[];
  depth: number;
}

async function ociImages(source: Source, index: Member): Promise<Candidate[]> {
  const found: Candidate[] = [];
  let visited = 0;
  const visit = async (bytes: Buffer, { what, names: inheritedNames, depth }: Visited): Promise<void> => {
    for (const descriptor of parseDocument({ schema: Index, bytes, what }).manifests) {
      visited += 1;
      if (visited > manifestLimit) throw new Error(`cannot read ${source.what}: more than ${manifestLimit} manifests`);
      const { annotations, platform, mediaType } = descriptor;
      // What builders attach to an image (provenance, SBOM) comes as an image of an unknown platform.
      if (platform?.architecture === 'unknown') continue;
      const ownNames = ['org.opencontainers.image.ref.name', 'io.containerd.image.name'].flatMap(
        (key) => annotations?.[key] ?? [],
      );
      const names = ownNames.length > 0 ? ownNames : inheritedNames;
      if (mediaType !== undefined && indexType.test(mediaType)) {
        if (depth >= nestingLimit) throw new Error(`cannot read ${source.what}: indexes within indexes`);
        const nested = await document({ source, descriptor, what: 'an index' });
        await visit(nested, { what: `an index of ${source.what}`, names, depth: depth + 1 });
        continue;
      }
      // An archive of one platform out of many may list them all and hold the blobs of one.
      if ((await source.find(blobName(descriptor.digest))) === undefined && platform?.architecture !== undefined)
        continue;
      found.push({ ...(await ociImage(source, descriptor)), names });
    }
  };
  const what = `index.json of ${source.what}`;
  await visit(await readMember(index, what), { what, names: [], depth: 0 });
  return found;
}

async function ociImage(source: Source, descriptor: Descriptor): Promise<Chosen> {
  const what = `the manifest of ${source.what}`;
  const manifest = parseDocument({ schema: Manifest, bytes: await document({ source, descriptor, what }), what });
  const configuration = parseDocument({
    schema: Configuration,
    bytes: await document({ source, descriptor: manifest.config, what: `the configuration in ${source.what}` }),
    what: `the configuration in ${source.what}`,
  });
  const layers: Layer[] = [];
  for (const [index, layer] of manifest.layers.entries()) {
    const label = `layer ${index + 1} of ${source.what}`;
    if (layer.mediaType !== undefined && (!layer.mediaType.includes('tar') || layer.mediaType.includes('encrypted'))) {
      throw new Error(
        `cannot import ${label}: it is ${shown(layer.mediaType)}, want a tar, plain or with gzip or zstd`,
      );
    }
    layers.push({
      member: await blob({ source, descriptor: layer, what: label }),
      storedSha256: hex(layer.digest),
      diffId: hex(configuration.rootfs.diff_ids[index] ?? ''),
      what: label,
    });
  }
  return { digest: hex(descriptor.digest), configuration, layers };
}

async function dockerImages(source: Source, manifest: Member): Promise<Candidate[]> {
  const what = `manifest.json of ${source.what}`;
  const images = parseDocument({ schema: DockerManifest, bytes: await readMember(manifest, what), what });
  const need = async (name: string): Promise<Member> => {
    const member = await source.find(name);
    if (member === undefined) throw new Error(`cannot import ${source.what}: ${shown(name)} is missing from it`);
    return member;
  };
  return Promise.all(
    images.map(async ({ Config, RepoTags, Layers }): Promise<Candidate> => {
      const label = `the configuration in ${source.what}`;
      const bytes = await readMember(await need(Config), label);
      const configuration = parseDocument({ schema: Configuration, bytes, what: label });
      const layers: Layer[] = [];
      for (const [index, name] of Layers.entries()) {
        const diffId = hex(configuration.rootfs.diff_ids[index] ?? '');
        layers.push({
          member: await need(name),
          storedSha256: undefined,
          diffId,
          what: `layer ${index + 1} of ${source.what}`,
        });
      }
      const digest = sha256(bytes);
      const named = /([0-9a-f]{64})(\.json)?$/.exec(Config)?.[1];
      if (named !== undefined && named !== digest) {
        throw new Error(`cannot import ${label}: its sha256 is ${digest}, want ${named}`);
      }
      return { digest, configuration, layers, names: RepoTags ?? [] };
    }),
  );
}

interface BlobOptions {
  source: Source;
  descriptor: Descriptor;
  what: string;
}

async function blob({ source, descriptor, what }: BlobOptions): Promise<Member> {
  const member = await source.find(blobName(descriptor.digest));
  if (member === undefined) throw new Error(`cannot import ${what}: blob ${descriptor.digest} is missing`);
  if (member.sizeBytes !== descriptor.size) {
    throw new Error(`cannot import ${what}: ${member.sizeBytes} bytes, want ${descriptor.size}`);
  }
  return member;
}

async function document(options: BlobOptions): Promise<Buffer> {
  const bytes = await readMember(await blob(options), options.what);
  const found = sha256(bytes);
  if (found !== hex(options.descriptor.digest)) {
    throw new Error(`cannot import ${options.what}: its sha256 is ${found}, want ${hex(options.descriptor.digest)}`);
  }
  return bytes;
}

function blobName(digest: string): string {
  return `blobs/sha256/${hex(digest)}`;
}

function hex(digest: string): string {
  return digest.replace(/^sha256:/, '');
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
      tree.add(entry, index);
    }
    paths.push(path);
  }
  return { tree, layers: paths, unpackedBytes };
}

async function readText(inode: Inode | undefined, layers: readonly string[]): Promise<string> {
  const path = inode?.content === undefined ? undefined : layers[inode.content.layer];
  if (inode?.content === undefined || path === undefined) return '';
  const { offset, sizeBytes } = inode.content;
  if (sizeBytes > accountsLimitBytes) {
    throw new Error(`cannot read the image's accounts: ${sizeBytes} bytes, want at most ${accountsLimitBytes}`);
  }
  return (await readMember({ path, offset, sizeBytes }, "the image's accounts")).toString('utf8');
}

async function copyFromRegistry(options: {
  source: string;
  architecture: string;
  workDir: string;
  signal: AbortSignal | undefined;
}) {
  const { source, architecture, workDir, signal } = options;
  const layout = join(workDir, basename(source).replace(/[^A-Za-z0-9.-]/g, '_') || 'layout');
  const platform = ['--override-os', 'linux', '--override-arch', architecture];
  await run('skopeo', ['copy', '--quiet', ...platform, source, `oci:${layout}:latest`], { signal });
  return layout;
}
