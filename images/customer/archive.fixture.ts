// Image archives of any shape, made in memory, and what their import gives: for the tests of this folder.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { sha256 } from '../digest.ts';
import { importImage, type ImportLimits } from './import.ts';
import { tarEnd, tarHeader, tarPadding, type TarHeader } from './tar.ts';

export type Entry = Partial<TarHeader> & { name: string; content?: string };

export const file = (name: string, content = ''): Entry => ({ name, content, mode: 0o644 });
export const directory = (name: string, mode = 0o755): Entry => ({ name, kind: 'directory', mode });
export const symlink = (name: string, target: string): Entry => ({ name, kind: 'symlink', target, mode: 0o777 });
export const hardlink = (name: string, target: string): Entry => ({ name, kind: 'hardlink', target });

export function tar(entries: readonly Entry[]) {
  const parts = entries.flatMap(({ content = '', ...entry }) => {
    const bytes = Buffer.from(content);
    const blank = {
      kind: 'file',
      mode: 0,
      uid: 0,
      gid: 0,
      mtime: 1_600_000_000,
      target: '',
      xattrs: new Map(),
    } as const;
    return [tarHeader({ ...blank, sizeBytes: bytes.length, ...entry }), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...parts, tarEnd]);
}

export interface ImageParts {
  layers: Buffer[];
  architecture?: string;
  config?: unknown;
  compress?: (bytes: Buffer) => Buffer;
  ref?: string;
}

export const json = (value: unknown): string => JSON.stringify(value);

/** The files of an OCI layout with these images, by name. */
export function layout(...images: ImageParts[]): Map<string, Buffer> {
  const files = new Map<string, Buffer>([['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')]]);
  const blob = (bytes: Buffer) => {
    files.set(`blobs/sha256/${sha256(bytes)}`, bytes);
    return { digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const manifests = images.map(({ layers, architecture = 'arm64', config = {}, compress = gzipSync, ref }) => {
    const rootfs = { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) };
    const configuration = blob(Buffer.from(json({ architecture, os: 'linux', config, rootfs })));
    const manifest = { config: configuration, layers: layers.map((layer) => blob(compress(layer))) };
    const annotations = ref === undefined ? null : { 'org.opencontainers.image.ref.name': ref };
    return { ...blob(Buffer.from(json(manifest))), annotations, platform: { architecture, os: 'linux' } };
  });
  files.set('index.json', Buffer.from(json({ manifests })));
  return files;
}

export function archive(files: Map<string, Buffer>): Buffer {
  const parts = [...files].flatMap(([name, bytes]) => {
    const rest = { kind: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, target: '', xattrs: new Map() } as const;
    return [tarHeader({ ...rest, name, sizeBytes: bytes.length }), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...parts, tarEnd]);
}

export const now = () => 1_700_000_000_000;

class Scratch {
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

export async function scratch(): Promise<Scratch> {
  return new Scratch(await mkdtemp(join(tmpdir(), 'muster-import-')));
}

export interface Tried {
  source: Buffer | Map<string, Buffer>;
  name?: string;
  limits?: Partial<ImportLimits>;
  architecture?: string;
  /** Files whose contents are wanted. */
  read?: readonly string[];
}

/** Imports from bytes (an archive) or files (a layout), and lists what the squashfs holds. */
export async function imported({ source, name = 'web', limits = {}, architecture = 'arm64', read = [] }: Tried) {
  await using place = await scratch();
  const path = join(place.path, 'source');
  if (Buffer.isBuffer(source)) await writeFile(path, source);
  else {
    for (const [member, bytes] of source) {
      await mkdir(dirname(join(path, member)), { recursive: true });
      await writeFile(join(path, member), bytes);
    }
  }
  const storeDirectory = join(place.path, 'store');
  try {
    const image = await importImage({ source: path, name, storeDirectory, architecture, now, limits });
    assert.deepEqual(await readdir(storeDirectory), [`${image.squashfs.sha256}.squashfs`]);
    const squashfs = join(storeDirectory, `${image.squashfs.sha256}.squashfs`);
    const listed = await promisify(execFile)('unsquashfs', ['-lln', squashfs]);
    const contents: Buffer[] = [];
    for (const path of read) {
      const found = await promisify(execFile)('unsquashfs', ['-cat', squashfs, path], {
        encoding: 'buffer',
        maxBuffer: 1 << 26,
      });
      contents.push(found.stdout);
    }
    return { image, listing: listed.stdout, contents };
  } catch (error) {
    assert.deepEqual(await readdir(storeDirectory).catch(() => []), [], 'a failed import leaves nothing behind');
    throw error;
  }
}

/** `mode owner path [-> target]` lines, without sizes and times. */
export function lines(listing: string): string[] {
  return listing
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^(\S+) (\S+) +\d+ \S+ \S+ squashfs-root(.*)$/, '$1 $2 /$3').replace('//', '/'));
}

export async function refused(tried: Tried, wanted: RegExp): Promise<void> {
  await assert.rejects(imported(tried), (error: Error) => {
    assert.match(error.message, wanted);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

export const one = (...entries: Entry[]): Buffer => archive(layout({ layers: [tar(entries)] }));

export function dockerSave({ layers, config, architecture = 'arm64' }: ImageParts): Buffer {
  const configuration = Buffer.from(
    json({ architecture, os: 'linux', config, rootfs: { diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) } }),
  );
  const files = new Map<string, Buffer>([[`${sha256(configuration)}.json`, configuration]]);
  const names = layers.map((layer, index) => {
    files.set(`layer${index}/layer.tar`, layer);
    return `layer${index}/layer.tar`;
  });
  const manifest = [{ Config: `${sha256(configuration)}.json`, RepoTags: ['team/web:latest'], Layers: names }];
  files.set('manifest.json', Buffer.from(json(manifest)));
  return archive(files);
}

/** An OCI layout put together piece by piece, however odd. */
export function oddLayout() {
  const files = new Map<string, Buffer>([['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')]]);
  const type = 'application/vnd.oci.image';
  const blob = (bytes: Buffer | string, mediaType: string) => {
    const content = Buffer.from(bytes);
    files.set(`blobs/sha256/${sha256(content)}`, content);
    return { mediaType, digest: `sha256:${sha256(content)}`, size: content.length };
  };
  const manifest = (
    config: unknown,
    { layers, configType = `${type}.config.v1+json` }: { layers: unknown[]; configType?: string },
  ) => {
    const mediaType = `${type}.manifest.v1+json`;
    return blob(json({ schemaVersion: 2, mediaType, config: blob(json(config), configType), layers }), mediaType);
  };
  const configuration = (layers: readonly Buffer[], own: object = {}) => ({
    architecture: 'arm64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
    ...own,
  });
  const image = (
    layer: Buffer,
    { own = {}, stored = gzipSync(layer), layerType = `${type}.layer.v1.tar+gzip` }: OddImage = {},
  ) => manifest(configuration([layer], own), { layers: [blob(stored, layerType)] });
  const index = (manifests: readonly object[]) => blob(json({ schemaVersion: 2, manifests }), `${type}.index.v1+json`);
  /** All as an archive. */
  const saved = (manifests: readonly object[]): Buffer =>
    archive(new Map([...files, ['index.json', Buffer.from(json({ schemaVersion: 2, manifests }))]]));
  return { files, blob, manifest, configuration, image, index, saved };
}

interface OddImage {
  own?: object;
  stored?: Buffer;
  layerType?: string;
}
