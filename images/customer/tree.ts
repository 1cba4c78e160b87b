/**
 * What an image's layers amount to, put together in memory only: nothing of an image is ever unpacked to disk, so a name in
 * it (`../../etc/passwd`, a symlink to `/`) can lead nowhere but into this tree.
 *
 * The rules are those of the OCI image layer specification: a later entry replaces an earlier one, a directory over a
 * directory keeps the content, `.wh.name` takes `name` of the layers below away, `.wh..wh..opq` all of a directory's.
 */
import { shown, type TarEntry } from './tar.ts';

/** Where a file's bytes are: in the unpacked layer of that index. */
export interface Content {
  layer: number;
  offset: number;
  sizeBytes: number;
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
  /** Of all names, link targets and attributes together. */
  nameBytes: number;
}

export interface Tree {
  readonly root: Node;
  /** How many device nodes were named; they are not emitted. */
  readonly devices: number;
  /** Adds one entry of a layer; layers come in order, bottom first. Throws one sentence for what cannot be. */
  add(entry: TarEntry, layer: number): void;
  /** A file by its path in the image, symlinks followed within it; undefined where there is none. */
  find(path: string): Inode | undefined;
}

const pathBytesLimit = 4096;
// squashfs cannot store a longer one.
const componentBytesLimit = 255;
const depthLimit = 256;
const linkLimit = 40;
const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';

export function emptyTree(limits: TreeLimits): Tree {
  const root = directoryNode(0);
  let entries = 0;
  let nameBytes = 0;
  let devices = 0;

  const count = (layer: number): void => {
    entries += 1;
    if (entries > limits.entries) {
      throw new Error(`cannot take layer ${layer + 1}: the image has more than ${limits.entries} files`);
    }
  };

  const put = (directory: Node, part: string, { node, layer, name }: { node: Node; layer: number; name: string }) => {
    if (directory.children.size >= limits.directoryEntries && !directory.children.has(part)) {
      throw new Error(
        `cannot take layer ${layer + 1}: ${shown(name)} is one name too many in its directory, want at most ${limits.directoryEntries} in each`,
      );
    }
    directory.children.set(part, node);
  };

  /** The directory that holds the path's last component, made where it is missing. */
  const parentOf = (parts: readonly string[], layer: number, name: string): Node | undefined => {
    const make = (directory: Node, part: string): Node => {
      count(layer);
      const node = directoryNode(layer);
      put(directory, part, { node, layer, name });
      return node;
    };
    const found = walk({ root, parts, make });
    if (found !== undefined && found.inode.kind !== 'directory') {
      throw new Error(`cannot take layer ${layer + 1}: ${shown(name)} lies below something that is not a directory`);
    }
    return found;
  };

  const add = (entry: TarEntry, layer: number): void => {
    count(layer);
    nameBytes += entry.name.length + entry.target.length;
    for (const [key, value] of entry.xattrs) nameBytes += key.length + value.length;
    if (nameBytes > limits.nameBytes) {
      throw new Error(`cannot take layer ${layer + 1}: more than ${limits.nameBytes} bytes of names`);
    }
    const parts = components(entry.name, layer);
    const last = parts.pop();
    if (last === undefined) {
      if (entry.kind === 'directory') Object.assign(root, { inode: inodeOf(entry, layer), layer });
      return;
    }
    if (last.startsWith(whiteoutPrefix)) {
      whiteOut(last, parts, layer, entry.name);
      return;
    }
    const parent = parentOf(parts, layer, entry.name);
    if (parent === undefined)
      throw new Error(`cannot take layer ${layer + 1}: ${shown(entry.name)} lies in a loop of links`);
    const before = parent.children.get(last);
    if (entry.kind === 'hardlink') {
      const target = components(entry.target, layer);
      // The link itself when the target is a symlink: link(2) does not follow either.
      const name = target.pop();
      const holder = name === undefined ? undefined : walk({ root, parts: target });
      const linked = name === undefined ? undefined : holder?.children.get(name);
      if (linked === undefined || linked.inode.kind === 'directory') {
        throw new Error(
          `cannot take layer ${layer + 1}: ${shown(entry.name)} is a hard link to ${shown(entry.target)}, ` +
            (linked === undefined ? 'which is not in the image' : 'which is a directory'),
        );
      }
      const node = { inode: linked.inode, layer, children: new Map<string, Node>() };
      put(parent, last, { node, layer, name: entry.name });
    } else {
      if (entry.kind === 'device') devices += 1;
      const keeps = entry.kind === 'directory' && before?.inode.kind === 'directory';
      const children = keeps ? before.children : new Map<string, Node>();
      put(parent, last, { node: { inode: inodeOf(entry, layer), layer, children }, layer, name: entry.name });
    }
  };

  const whiteOut = (last: string, parts: readonly string[], layer: number, name: string): void => {
    const holder = walk({ root, parts });
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
  };

  return {
    root,
    get devices() {
      return devices;
    },
    add,
    find: (path) => walk({ root, parts: path.split('/').filter((part) => part !== ''), followLast: true })?.inode,
  };
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
  const { mode, uid, gid, mtime, target, offset, sizeBytes } = entry;
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
    content: kind === 'file' ? { layer, offset, sizeBytes } : undefined,
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
