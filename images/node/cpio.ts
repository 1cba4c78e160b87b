/**
 * The cpio "newc" archive that the kernel unpacks as an initramfs: entries in the order of their paths, owned by root,
 * with one time stamp, so that the same files give the same bytes.
 *
 *   header   6 "070701", then 13 fields of 8 hex digits: inode, mode, uid, gid, links, mtime, size, device (4), name size, 0
 *   name     NUL-terminated, header + name padded to 4
 *   data     padded to 4
 */

export type CpioEntry =
  | { path: string; kind: 'file'; mode: number; data: Uint8Array }
  | { path: string; kind: 'directory' }
  | { path: string; kind: 'link'; target: string };

const fileMode = 0o100000;
const directoryMode = 0o040755;
const linkMode = 0o120777;

/** Parent directories are added where they are missing. */
export function cpioArchive(entries: readonly CpioEntry[], mtimeSeconds: number): Buffer {
  const byPath = new Map<string, CpioEntry>();
  for (const entry of entries) {
    const parts = entry.path.split('/');
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join('/');
      if (!byPath.has(path)) byPath.set(path, { path, kind: 'directory' });
    }
    byPath.set(entry.path, entry);
  }
  const sorted = [...byPath.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const chunks: Buffer[] = [];
  sorted.forEach((entry, index) => chunks.push(...record(entry, { inode: index + 1, mtimeSeconds })));
  chunks.push(
    ...record({ path: 'TRAILER!!!', kind: 'file', mode: 0, data: Buffer.alloc(0) }, { inode: 0, mtimeSeconds: 0 }),
  );
  return Buffer.concat(chunks);
}

function record(entry: CpioEntry, { inode, mtimeSeconds }: { inode: number; mtimeSeconds: number }): Buffer[] {
  const data = entry.kind === 'file' ? Buffer.from(entry.data) : Buffer.from(entry.kind === 'link' ? entry.target : '');
  const mode = entry.kind === 'file' ? fileMode | entry.mode : entry.kind === 'directory' ? directoryMode : linkMode;
  const name = Buffer.from(`${entry.path}\0`);
  const links = entry.kind === 'directory' ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, mtimeSeconds, data.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), data, padding(data.length)];
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
