// Files of a customer's image, read from outside: every link counts within the image, whose root is its "/", and nothing but a
// plain file is opened. The image cannot change meanwhile: it is read-only, or its container is not there.
import { closeSync, lstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** As the kernel. */
const linksLimit = 40;
/** Names on the way, those of links too: an image says how many, and the thread that asks for permits walks them. */
const namesLimit = 512;

/** Where the image's `path` is on this node: of a plain file, links followed; undefined where there is none. */
export function findInImage(root: string, path: string): string | undefined {
  let at: string[] = [];
  const left = path.split('/').toReversed();
  for (let links = 0, names = 0; left.length > 0;) {
    if (++names > namesLimit) return undefined;
    const name = left.pop() ?? '';
    if (name === '' || name === '.') continue;
    if (name === '..') {
      at.pop();
      continue;
    }
    const found = lstatSync(join(root, ...at, name), { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    if (found.isSymbolicLink()) {
      if (++links > linksLimit) return undefined;
      const target = readlinkSync(join(root, ...at, name));
      if (target.startsWith('/')) at = [];
      left.push(...target.split('/').toReversed());
      continue;
    }
    if (found.isFile() && left.every((rest) => rest === '')) return join(root, ...at, name);
    if (!found.isDirectory()) return undefined;
    at.push(name);
  }
  return undefined;
}

/** At most the first `limitBytes` of it; undefined where there is no such file. */
export function readInImage(
  root: string,
  { path, limitBytes }: { path: string; limitBytes: number },
): Buffer | undefined {
  const file = findInImage(root, path);
  if (file === undefined) return undefined;
  const fd = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(Math.min(limitBytes, lstatSync(file).size));
    let filled = 0;
    for (let count = 1; count > 0 && filled < bytes.length; filled += count)
      count = readSync(fd, bytes, { offset: filled, length: bytes.length - filled, position: filled });
    return bytes.subarray(0, filled);
  } finally {
    closeSync(fd);
  }
}
