/** A tree of files as one zstd squashfs: streamed as a tar into `mksquashfs`, so that owners and modes need no root. */
import { spawn } from 'node:child_process';
import { open, type FileHandle } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { tarEnd, tarHeader, tarPadding } from './tar.ts';
import type { Content, Inode, Node, Tree } from './tree.ts';

export interface SquashfsOptions {
  tree: Tree;
  /** Unpacked layers, by their index in the tree's contents. */
  layers: readonly string[];
  to: string;
  /** Milliseconds since 1970. */
  nowMs: number;
  signal: AbortSignal | undefined;
}

const chunkBytes = 1 << 20;
/**
 * It compares each file with those of the same size before it, to store equal ones once. Of small files of one size 10,000
 * took it 1.1 s of processor time, 40,000 11 s, 80,000 77 s; without looking 1.0 s. Beyond this it does not look.
 */
const sameSizeLimit = 10_000;

/** Equal trees make equal files: entries go in byte order, and no time of now gets in. */
export async function writeSquashfs({ tree, layers, to, nowMs, signal }: SquashfsOptions): Promise<void> {
  const { mode, uid, gid } = tree.root.inode;
  const args = [
    '-',
    to,
    '-tar',
    '-noappend',
    '-comp',
    'zstd',
    '-no-progress',
    '-quiet',
    '-reproducible',
    '-mem',
    '256M',
  ];
  args.push('-root-mode', mode.toString(8), '-root-uid', String(uid), '-root-gid', String(gid));
  // Fed with a tar, mksquashfs 4.5 gives the root the time of now and ignores -root-time; what it respects is this latest
  // time, so the newest file's is the root's and the file system's. A time to come would spoil that, and is no file's: 0.
  const mostSeconds = Math.floor(nowMs / 1000);
  let newest = 0;
  const sizes = new Map<number, number>();
  for (const { inode } of inOrder(tree.root, '')) {
    if (inode.mtime < 0 || inode.mtime > mostSeconds) inode.mtime = 0;
    newest = Math.max(newest, inode.mtime);
    const { sizeBytes } = inode.content ?? { sizeBytes: 0 };
    if (sizeBytes > 0) sizes.set(sizeBytes, (sizes.get(sizeBytes) ?? 0) + 1);
  }
  if ([...sizes.values()].some((files) => files > sameSizeLimit)) args.push('-no-duplicates');
  const searchPath = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`;
  const child = spawn('mksquashfs', args, {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, PATH: searchPath, SOURCE_DATE_EPOCH: String(newest) },
    signal,
    // Not SIGTERM, after which it tidies up a file that is thrown away.
    killSignal: 'SIGKILL',
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString('utf8')).slice(-2000)));
  const ended = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, killer) => resolve(code ?? killer ?? 'unknown'));
  });
  // The machine may also run heartbeats; packing can wait.
  if (child.pid !== undefined) setPriority(child.pid, 10);

  const files: FileHandle[] = [];
  const feed = async (): Promise<void> => {
    for (const path of layers) files.push(await open(path));
    await pipeline(
      Readable.from(tarOf(tree.root, files), { objectMode: false, highWaterMark: chunkBytes }),
      child.stdin,
    );
  };
  try {
    const [fed, exit] = await Promise.allSettled([feed(), ended]);
    signal?.throwIfAborted();
    if (exit.status === 'rejected') {
      throw new Error('cannot run mksquashfs: want the package squashfs-tools', { cause: exit.reason });
    }
    if (exit.value !== 0) throw new Error(`cannot write the squashfs: mksquashfs says ${exit.value}: ${said.trim()}`);
    if (fed.status === 'rejected') throw new Error('cannot write the squashfs', { cause: fed.reason });
  } finally {
    for (const file of files) await file.close();
  }
}

/** The merged tree as a tar stream, directories before what is in them, names in byte order. */
async function* tarOf(root: Node, files: readonly FileHandle[]): AsyncGenerator<Buffer> {
  const firstNames = new Map<Inode, string>();
  for (const { name, inode } of inOrder(root, '')) {
    if (inode.kind === 'device') continue;
    const first = firstNames.get(inode);
    const { kind, content } = inode;
    if (kind === 'file' && first !== undefined) {
      yield tarHeader({ ...inode, name, kind: 'hardlink', target: first, sizeBytes: 0, xattrs: new Map() });
      continue;
    }
    firstNames.set(inode, name);
    const sizeBytes = content?.sizeBytes ?? 0;
    yield tarHeader({ ...inode, kind, name, sizeBytes });
    if (content === undefined) continue;
    const file = files[content.layer];
    if (file === undefined) throw new Error(`cannot read layer ${content.layer + 1}: it was not unpacked`);
    yield* contentOf(content, file);
    const padding = tarPadding(sizeBytes);
    if (padding.length > 0) yield padding;
  }
  yield tarEnd;
}

const zeros = Buffer.alloc(1 << 16);

/** A file's bytes in pieces, the holes of a sparse one as zeros. `file`: its unpacked layer. */
export async function* contentOf(content: Content, file: FileHandle): AsyncGenerator<Buffer> {
  const { layer, sizeBytes, extents = Float64Array.of(0, sizeBytes) } = content;
  let offset = content.offset;
  let done = 0;
  for (let at = 0; at <= extents.length; at += 2) {
    const [start = sizeBytes, bytes = 0] = [extents[at], extents[at + 1]];
    for (; done < start; done += Math.min(zeros.length, start - done))
      yield zeros.subarray(0, Math.min(zeros.length, start - done));
    for (const end = done + bytes; done < end;) {
      const wanted = Math.min(chunkBytes, end - done);
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, offset);
      if (bytesRead === 0) throw new Error(`cannot read layer ${layer + 1}: it became shorter`);
      yield buffer.subarray(0, bytesRead);
      offset += bytesRead;
      done += bytesRead;
    }
  }
}

function* inOrder(directory: Node, path: string): Generator<{ name: string; inode: Inode }> {
  for (const [part, node] of [...directory.children].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const name = path === '' ? part : `${path}/${part}`;
    yield { name, inode: node.inode };
    if (node.inode.kind === 'directory') yield* inOrder(node, name);
  }
}
