/**
 * Where an image's documents and layers come from: an OCI layout directory, or a tar archive (plain, gzip or zstd) of one
 * or of `docker save`. An archive is indexed, never unpacked: its members are read where they stand.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { Readable, Transform, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createHash, type Hash } from 'node:crypto';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { byteName, readTar, shown } from './tar.ts';
import { frameMagic, skippableMagic, ZstdFrames } from './zstd-frames.ts';

export interface Member {
  path: string;
  offset: number;
  sizeBytes: number;
}

export interface Source {
  /** What errors call it. */
  what: string;
  /** The member of that name (`index.json`, `blobs/sha256/…`); undefined where there is none. */
  find(name: string): Promise<Member | undefined>;
}

export interface OpenOptions {
  source: string;
  /** What errors call it. */
  what: string;
  /** A private folder for what a compressed archive unpacks to. */
  workDir: string;
  mostBytes: number;
  signal: AbortSignal | undefined;
}

const memberLimit = 20_000;
const documentBytesLimit = 4 << 20;

export async function openSource({ source, what, workDir, mostBytes, signal }: OpenOptions): Promise<Source> {
  const kind = await stat(source).catch((cause: unknown) => {
    throw new Error(`cannot import ${source}: there is no such file or directory`, { cause });
  });
  if (kind.isDirectory()) return directorySource(source, what);
  if (!kind.isFile()) throw new Error(`cannot import ${source}: want a tar archive or an OCI layout directory`);
  let archive: Member = { path: source, offset: 0, sizeBytes: kind.size };
  if ((await compression(archive)) !== 'none') {
    const path = join(workDir, 'archive.tar');
    const { sizeBytes } = await unpack({ member: archive, to: path, what, mostBytes, signal });
    archive = { path, offset: 0, sizeBytes };
  }
  return archiveSource(archive, what);
}

function directorySource(directory: string, what: string): Source {
  return {
    what,
    find: async (name) => {
      if (name.split('/').includes('..'))
        throw new Error(`cannot read ${what}: ${JSON.stringify(name)} leads out of it`);
      const path = join(directory, name);
      const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
        throw error;
      });
      return found?.isFile() === true ? { path, offset: 0, sizeBytes: found.size } : undefined;
    },
  };
}

async function archiveSource(archive: Member, what: string): Promise<Source> {
  const members = new Map<string, Member | { link: string }>();
  await using file = await open(archive.path);
  for await (const entry of readTar(file, { what, sizeBytes: archive.sizeBytes })) {
    const name = posix.normalize(entry.name).replace(/^\/+/, '');
    if (entry.extents !== undefined)
      throw new Error(`cannot read ${what}: ${shown(name)} is stored sparsely, want the archive without --sparse`);
    if (entry.kind === 'file')
      members.set(name, { path: archive.path, offset: entry.offset, sizeBytes: entry.sizeBytes });
    // `docker save` of old stored a layer once and linked to it from other images' folders.
    else if (entry.kind === 'symlink') members.set(name, { link: posix.join(posix.dirname(name), entry.target) });
    else if (entry.kind === 'hardlink') members.set(name, { link: posix.normalize(entry.target) });
    if (members.size > memberLimit) throw new Error(`cannot read ${what}: more than ${memberLimit} members`);
  }
  return {
    what,
    find: async (name) => {
      let found = members.get(byteName(posix.normalize(name)));
      for (let hops = 0; found !== undefined && 'link' in found; hops += 1) {
        found = hops < 8 ? members.get(found.link) : undefined;
      }
      return found;
    },
  };
}

/** A small document whole. Throws when it is too large to be one. */
export async function readMember(member: Member, what: string): Promise<Buffer> {
  if (member.sizeBytes > documentBytesLimit) {
    throw new Error(`cannot read ${what}: ${member.sizeBytes} bytes, want at most ${documentBytesLimit}`);
  }
  if (member.offset === 0) {
    const whole = await readFile(member.path);
    if (whole.length >= member.sizeBytes) return whole.subarray(0, member.sizeBytes);
  }
  await using file = await open(member.path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(member.sizeBytes), 0, member.sizeBytes, member.offset);
  if (bytesRead < member.sizeBytes)
    throw new Error(`cannot read ${what}: ${bytesRead} of ${member.sizeBytes} bytes are there`);
  return buffer;
}

export interface UnpackOptions {
  member: Member;
  to: string;
  what: string;
  mostBytes: number;
  signal: AbortSignal | undefined;
}

/** Writes a member to a file, decompressed; gives sha256 of what was read and of what was written. */
export async function unpack({ member, to, what, mostBytes, signal }: UnpackOptions) {
  const read = createHash('sha256');
  const written = createHash('sha256');
  let sizeBytes = 0;
  const counted = new Transform({
    // oxlint-disable-next-line max-params -- Node's signature
    transform(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.length;
      written.update(chunk);
      if (sizeBytes > mostBytes)
        done(new Error(`it unpacks to more than the ${mostBytes} bytes that are left to an image`));
      else done(null, chunk);
    },
  });
  const kind = await compression(member);
  if (kind === 'xz' || kind === 'bzip2')
    throw new Error(`cannot unpack ${what}: it is compressed with ${kind}, want gzip, zstd or a plain tar`);
  const stages = [memberStream(member), tapped(read), ...decompressors(kind), counted, createWriteStream(to)];
  try {
    await pipeline(stages, { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new Error(`cannot unpack ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  return { sizeBytes, readSha256: read.digest('hex'), writtenSha256: written.digest('hex') };
}

function memberStream({ path, offset, sizeBytes }: Member): Readable {
  if (sizeBytes === 0) return Readable.from([]);
  return createReadStream(path, { start: offset, end: offset + sizeBytes - 1, highWaterMark: 1 << 18 });
}

function tapped(hash: Hash): Transform {
  return new Transform({
    // oxlint-disable-next-line max-params -- Node's signature
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}

type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2';

/** Told by the first bytes: media types are often wrong, and archives have none. */
async function compression(member: Member): Promise<Compression> {
  await using file = await open(member.path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(6), 0, Math.min(6, member.sizeBytes), member.offset);
  const magic = buffer.subarray(0, bytesRead).toString('hex');
  if (magic.startsWith('1f8b')) return 'gzip';
  if (magic.startsWith('fd377a585a00')) return 'xz';
  if (/^425a68[3][1-9]31/.test(magic)) return 'bzip2';
  const first = magic.slice(0, 8);
  return first === frameMagic || skippableMagic.test(first) ? 'zstd' : 'none';
}

function decompressors(kind: Compression): Duplex[] {
  if (kind === 'gzip') return [createGunzip({ chunkSize: 1 << 18 })];
  if (kind === 'zstd') return [new ZstdFrames(), createZstdDecompress({ chunkSize: 1 << 18 })];
  return [];
}
