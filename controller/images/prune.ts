// Which images go when room is wanted: what nothing uses, the oldest first. Pure.
import type { Image } from '../../protocol/api/images.ts';

export interface PruneWorld {
  images: readonly Image[];
  /** What is on the disk: size by sha256. */
  files: ReadonlyMap<string, number>;
  /** Files that a workload or an instance has, by sha256. */
  inUse: ReadonlySet<string>;
  /** Names that workloads were deployed by. */
  used: ReadonlySet<string>;
  keepBytes: number;
  /** Only what no name leads to goes. */
  keepsNames?: boolean;
}

/**
 * Names and files to remove so that what is left takes `keepBytes` at most, as far as that goes. Names stood for other files
 * before: those go first, because no name leads to them any more. A file goes when the last name that it has goes.
 */
export function prunedImages({ images, files, inUse, used, keepBytes, keepsNames = false }: PruneWorld): {
  names: string[];
  files: string[];
} {
  let bytes = [...files.values()].reduce((sum, each) => sum + each, 0);
  const names: string[] = [];
  const gone = new Set<string>();
  const holders = new Map<string, number>();
  for (const { squashfs } of images) holders.set(squashfs.sha256, (holders.get(squashfs.sha256) ?? 0) + 1);
  const drop = (sha256: string): void => {
    const size = files.get(sha256);
    if (size === undefined || gone.has(sha256) || inUse.has(sha256) || (holders.get(sha256) ?? 0) > 0) return;
    gone.add(sha256);
    bytes -= size;
  };
  const before = images.flatMap(({ history = [] }) => history).toSorted((a, b) => a.importedAt - b.importedAt);
  const remembered = new Set(before.map(({ squashfs }) => squashfs.sha256));
  // What not even a history knows is older than all of them.
  for (const sha256 of [...files.keys()].filter((each) => !remembered.has(each)).toSorted())
    if (bytes > keepBytes) drop(sha256);
  for (const { squashfs } of before) if (bytes > keepBytes) drop(squashfs.sha256);
  for (const { name, squashfs } of images.toSorted((a, b) => a.importedAt - b.importedAt)) {
    if (keepsNames || bytes <= keepBytes) break;
    if (used.has(name)) continue;
    names.push(name);
    holders.set(squashfs.sha256, (holders.get(squashfs.sha256) ?? 1) - 1);
    drop(squashfs.sha256);
  }
  return { names, files: [...gone] };
}
