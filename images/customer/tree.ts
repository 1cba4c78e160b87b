/**
 * What an image's layers amount to, put together in memory only: nothing of an image is ever unpacked to disk, so a name in
 * it (`../../etc/passwd`, a symlink to `/`) can lead nowhere but into this tree.
 *
 * The rules are those of the OCI image layer specification: a later entry replaces an earlier one, a directory over a
 * directory keeps the content, `.wh.name` takes `name` of the layers below away, `.wh..wh..opq` all of a directory's.
 */
import { shown, type TarEntry } from './tar.ts';
import type { Extents } from './tar-sparse.ts';

/** Where a file's bytes are: in the unpacked layer of that index. */
export interface Content {
  layer: number;
  offset: number;
  /** Of the whole file. */
  sizeBytes: number;
  /** Of a sparse file: the pieces that are there, one after another from `offset` on. */
  extents?: Extents;
}

/** Hard links are one `Inode` under several names. */
export interface Inode {
  kind: 'file' | 'symlink' | 'fifo' | 'device' | 'directory';
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  target: string;
  content: Content | undefined;
  xattrs: Map<string, string>;
}

export interface Node {
  inode: Inode;
  /** The last layer that named it. */
  layer: number;
  /** Of a directory. */
  children: Map<string, Node>;
}

export interface TreeLimits {
  entries: number;
  /** In one directory: mksquashfs compares each new name there with all before it. */
  directoryEntries: number;
  /** Of all names, link targets, attributes and maps of sparse files together. */
  nameBytes: number;
}

const pathBytesLimit = 4096;
// squashfs cannot store a longer one.
const componentBytesLimit = 255;
const depthLimit = 256;
const linkLimit = 40;
const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';

/** An entry of the layer of that index. */
interface Layered {
  entry: TarEntry;
  layer: number;
}

export class Tree {
  readonly root: Node = directoryNode(0);
  /** How many device nodes were named; they are not emitted. */
  devices = 0;
  readonly #limits: TreeLimits;
  #entries = 0;
  #nameBytes = 0;

  constructor(limits: TreeLimits) {
    this.#limits = limits;
  }

  /** Adds one entry of a layer; layers come in order, bottom first. Throws one sentence for what cannot be. */
  add(entry: TarEntry, layer: number): void {
    this.#count(layer);
    this.#countNames({ entry, layer });
    const parts = components(entry.name, layer);
    const last = parts.pop();
    if (last === undefined) {
      if (entry.kind === 'directory') Object.assign(this.root, { inode: inodeOf(entry, layer), layer });
      return;
    }
    if (last.startsWith(whiteoutPrefix)) {
      whiteOut(last, { holder: walk({ root: this.root, parts }), layer, name: entry.name });
      return;
    }
    const parent = this.#parentOf(parts, { entry, layer });
    const node =
      entry.kind === 'hardlink' ? this.#linked({ entry, layer }) : made({ entry, layer }, parent.children.get(last));
    if (entry.kind === 'device') this.devices += 1;
    this.#put(parent, { part: last, node, name: entry.name });
  }

  /** A file by its path in the image, symlinks followed within it; undefined where there is none. */
  find(path: string): Inode | undefined {
    const parts = path.split('/').filter((part) => part !== '');
    return walk({ root: this.root, parts, followLast: true })?.inode;
  }

  #count(layer: number): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.entries) {
      throw new Error(
        `cannot take layer ${layer + 1}: the image has more than ${this.#limits.entries} files, want fewer`,
      );
    }
  }

  #countNames({ entry, layer }: Layered): void {
    this.#nameBytes += entry.name.length + entry.target.length;
    for (const [key, value] of entry.xattrs) this.#nameBytes += key.length + value.length;
    this.#nameBytes += entry.extents?.byteLength ?? 0;
    if (this.#nameBytes > this.#limits.nameBytes) {
      throw new Error(
        `cannot take layer ${layer + 1}: more than ${this.#limits.nameBytes} bytes of names, want shorter or fewer ones`,
      );
    }
  }

  /** The directory that holds the path's last component, made where it is missing. */
  #parentOf(parts: readonly string[], { entry: { name }, layer }: Layered): Node {
    const make = (directory: Node, part: string): Node => {
      this.#count(layer);
      const node = directoryNode(layer);
      this.#put(directory, { part, node, name });
      return node;
    };
    const found = walk({ root: this.root, parts, make });
    if (found === undefined) throw new Error(`cannot take layer ${layer + 1}: ${shown(name)} lies in a loop of links`);
    if (found.inode.kind !== 'directory')
      throw new Error(`cannot take layer ${layer + 1}: ${shown(name)} lies below something that is not a directory`);
    return found;
  }

  #put(directory: Node, { part, node, name }: { part: string; node: Node; name: string }): void {
    const most = this.#limits.directoryEntries;
    if (directory.children.size >= most && !directory.children.has(part)) {
      throw new Error(
        `cannot take layer ${node.layer + 1}: ${shown(name)} is one name too many in its directory, want at most ${most} in each`,
      );
    }
    directory.children.set(part, node);
  }

  #linked({ entry, layer }: Layered): Node {
    const parts = components(entry.target, layer);
    // The link itself when the target is a symlink: link(2) does not follow either.
    const name = parts.pop();
    const holder = name === undefined ? undefined : walk({ root: this.root, parts });
    const linked = name === undefined ? undefined : holder?.children.get(name);
    if (linked === undefined || linked.inode.kind === 'directory') {
      throw new Error(
        `cannot take layer ${layer + 1}: ${shown(entry.name)} is a hard link to ${shown(entry.target)}, ` +
          (linked === undefined ? 'which is not in the image' : 'which is a directory'),
      );
    }
    return { inode: linked.inode, layer, children: new Map() };
  }
}

/** `before`: what has that name so far. A directory over a directory keeps the content. */
function made({ entry, layer }: Layered, before: Node | undefined): Node {
  const keeps = entry.kind === 'directory' && before?.inode.kind === 'directory';
  return { inode: inodeOf(entry, layer), layer, children: keeps ? before.children : new Map<string, Node>() };
}

interface Whiteout {
  /** The directory that it is in; undefined where there is none. */
  holder: Node | undefined;
  layer: number;
  /** All of its path. */
  name: string;
}

function whiteOut(last: string, { holder, layer, name }: Whiteout): void {
  if (last === opaqueMarker) {
    if (holder?.inode.kind === 'directory') dropBelow(holder, layer);
    return;
  }
  // Other `.wh..wh.` names are the book-keeping of the aufs driver.
  if (last.startsWith('.wh..wh.')) return;
  const gone = last.slice(whiteoutPrefix.length);
  if (gone === '' || gone === '.' || gone === '..') {
    throw new Error(`cannot take layer ${layer + 1}: ${shown(name)} removes no name`);
  }
  const node = holder?.children.get(gone);
  if (holder === undefined || node === undefined) return;
  dropBelow(node, layer);
  if (node.layer < layer && node.children.size === 0) holder.children.delete(gone);
}

/** Removes what layers before `layer` put into a directory; a whiteout does not touch its own layer's entries. */
function dropBelow(node: Node, layer: number): void {
  for (const [name, child] of node.children) {
    dropBelow(child, layer);
    if (child.layer < layer && child.children.size === 0) node.children.delete(name);
  }
}

interface Walk {
  root: Node;
  parts: readonly string[];
  /** Makes a missing directory in that one; without it a missing one ends the walk. */
  make?: (directory: Node, part: string) => Node;
  followLast?: boolean;
}

/** Follows a path with its symlinks, all of it inside the tree: `/` and `..` stop at the root. */
function walk({ root, parts, make, followLast = true }: Walk): Node | undefined {
  const trail: Node[] = [root];
  const left = parts.toReversed();
  let links = 0;
  let steps = 0;
  for (let part = left.pop(); part !== undefined; part = left.pop()) {
    steps += 1;
    if (steps > pathBytesLimit) return undefined;
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (trail.length > 1) trail.pop();
      continue;
    }
    const here = trail.at(-1) ?? root;
    let next = here.children.get(part);
    if (next === undefined) {
      if (make === undefined || here.inode.kind !== 'directory' || trail.length > depthLimit) return undefined;
      next = make(here, part);
    }
    if (next.inode.kind === 'symlink' && (left.length > 0 || followLast)) {
      links += 1;
      if (links > linkLimit) return undefined;
      if (next.inode.target.startsWith('/')) trail.length = 1;
      left.push(...next.inode.target.split('/').toReversed());
      continue;
    }
    trail.push(next);
  }
  return trail.at(-1);
}

function components(name: string, layer: number): string[] {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  const refuse = (why: string): Error => new Error(`cannot take layer ${layer + 1}: ${shown(name)} ${why}`);
  if (parts.includes('..')) throw refuse('leads out of the image');
  if (name.length > pathBytesLimit) throw refuse(`is ${name.length} bytes long, want at most ${pathBytesLimit}`);
  if (parts.length > depthLimit) throw refuse(`is ${parts.length} directories deep, want at most ${depthLimit}`);
  if (parts.some((part) => part.length > componentBytesLimit)) {
    throw refuse(`has a part of more than ${componentBytesLimit} bytes`);
  }
  return parts;
}

// What a kernel can use in a container: capabilities of files, and the programs' own. Labels of the machine that built the
// image (SELinux, overlay) mean nothing, or harm, elsewhere.
function keepsXattr(name: string): boolean {
  return name === 'security.capability' || name.startsWith('user.');
}

function inodeOf(entry: TarEntry, layer: number): Inode {
  const { mode, uid, gid, mtime, target, offset, sizeBytes, extents } = entry;
  const kind = entry.kind === 'hardlink' ? 'file' : entry.kind;
  if (uid > 2 ** 32 - 2 || gid > 2 ** 32 - 2) {
    throw new Error(
      `cannot take layer ${layer + 1}: ${shown(entry.name)} belongs to ${uid}:${gid}, which no Linux has`,
    );
  }
  if (kind === 'symlink' && (target === '' || target.length > pathBytesLimit)) {
    throw new Error(
      `cannot take layer ${layer + 1}: symlink ${shown(entry.name)} has a target of ${target.length} bytes`,
    );
  }
  return {
    kind,
    mode,
    uid,
    gid,
    mtime,
    target: kind === 'symlink' ? target : '',
    content: kind === 'file' ? { layer, offset, sizeBytes, ...(extents === undefined ? {} : { extents }) } : undefined,
    xattrs: new Map([...entry.xattrs].filter(([key]) => keepsXattr(key))),
  };
}

function directoryNode(layer: number): Node {
  const inode: Inode = {
    kind: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
    target: '',
    content: undefined,
    xattrs: new Map(),
  };
  return { inode, layer, children: new Map() };
}
