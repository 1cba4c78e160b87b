/**
 * The tar format, as far as container images use it: ustar with pax, GNU long names and sparse files in, ustar with pax out.
 *
 * Names are byte strings (`latin1`): an image may hold file names that are not UTF-8, and they must come out as they went
 * in. `shown()` makes one readable. The reader trusts nothing: every length is checked against the file's before use.
 */
import type { FileHandle } from 'node:fs/promises';
import { tarNumber } from './tar-number.ts';
import { gnuExtents, isPaxSparse, paxExtents, type Extents } from './tar-sparse.ts';

/** Names that this program makes out of text become byte strings; those of an archive already are. */
export function byteName(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** A byte string for an error message. */
export function shown(name: string): string {
  const text = JSON.stringify(Buffer.from(name, 'latin1').toString('utf8'));
  return text.length > 120 ? `${text.slice(0, 117)}…"` : text;
}

export type TarKind = 'file' | 'hardlink' | 'symlink' | 'device' | 'directory' | 'fifo';

export interface TarEntry {
  name: string;
  kind: TarKind;
  /** Permission bits, with set-id and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970. */
  mtime: number;
  /** Where a link leads; '' for others. */
  target: string;
  /** Of a sparse file, its holes included. */
  sizeBytes: number;
  /** Where the content starts in the file. */
  offset: number;
  /** Of a sparse file: what of it is there, one piece after another from `offset` on. The rest is zeros. */
  extents?: Extents;
  /** Byte strings by attribute name. */
  xattrs: Map<string, string>;
}

const blockBytes = 512;
// Names, values and extended attributes of one entry; the kernel allows 64 KiB for one attribute.
const extensionBytesLimit = 1 << 20;

// name, offset, length in a header
const fieldAt = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  target: [157, 100],
  magic: [257, 8],
  prefix: [345, 155],
} as const;
type Field = keyof typeof fieldAt;

const kindOf: Record<string, TarKind> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'device',
  '4': 'device',
  '5': 'directory',
  '6': 'fifo',
};
const xattrPrefix = 'SCHILY.xattr.';

/**
 * The entries of a tar file, in order. `what` names it in errors.
 * Throws one sentence for whatever is not a sound tar.
 */
export async function* readTar(
  file: FileHandle,
  options: { what: string; sizeBytes: number },
): AsyncGenerator<TarEntry> {
  const { what, sizeBytes } = options;
  const read = windowedReader(file, sizeBytes);
  let extended: PaxRecord[] = [];
  let extensionBytes = 0;
  let inherited: PaxRecord[] = [];
  let offset = 0;
  while (offset < sizeBytes) {
    if (offset + blockBytes > sizeBytes) throw new Error(`cannot read ${what}: it ends within a header`);
    const header = await read(offset, blockBytes);
    if (header.every((byte) => byte === 0)) return;
    offset += blockBytes;
    checkSum(header, what);
    const type = fieldText(header, 'type');
    const size = number({ header, what }, 'size');

    if (type === 'x' || type === 'g' || type === 'L' || type === 'K') {
      extensionBytes += size;
      if (extensionBytes > extensionBytesLimit) {
        throw new Error(
          `cannot read ${what}: ${extensionBytes} bytes of names in one entry, want at most ${extensionBytesLimit}`,
        );
      }
      if (offset + size > sizeBytes) throw new Error(`cannot read ${what}: it ends within a name`);
      const content = (await read(offset, size)).toString('latin1');
      offset += padded(size);
      if (type === 'L') extended.push(['path', content.replace(/\0.*$/s, '')]);
      else if (type === 'K') extended.push(['linkpath', content.replace(/\0.*$/s, '')]);
      else if (type === 'x') extended.push(...paxRecords(content, what));
      else inherited = [...inheritedBy([...inherited, ...paxRecords(content, what)])];
      continue;
    }

    const records = [...inherited, ...extended];
    extended = [];
    extensionBytes = 0;
    const raw = { header, type, size, pax: inheritedBy(records), records, what, offset };
    const entry = entryOf(raw);
    const storedBytes = entry.sizeBytes;
    if (offset + storedBytes > sizeBytes) {
      throw new Error(
        `cannot read ${what}: it ends within ${shown(entry.name)}, after ${sizeBytes - offset} of ${storedBytes} bytes`,
      );
    }
    const { skippedBytes = 0, ...whole } = await withHoles(entry, { raw, read, archiveBytes: sizeBytes });
    yield whole;
    offset += padded(storedBytes) + skippedBytes;
  }
}

type PaxRecord = [key: string, value: string];

/** Later records replace earlier ones; an empty value takes the earlier ones away, so that the header's own field holds. */
function inheritedBy(records: readonly PaxRecord[]): Map<string, string> {
  const pax = new Map<string, string>();
  for (const [key, value] of records) {
    // An extended attribute may well be empty.
    if (value === '' && !key.startsWith(xattrPrefix)) pax.delete(key);
    else pax.set(key, value);
  }
  return pax;
}

interface Holes {
  raw: RawEntry;
  read: (offset: number, length: number) => Promise<Buffer>;
  archiveBytes: number;
}

/** The entry with its extents and its whole size, where it is stored sparsely. `skippedBytes`: of headers after its own. */
async function withHoles(
  entry: TarEntry,
  { raw, read, archiveBytes }: Holes,
): Promise<TarEntry & { skippedBytes?: number }> {
  if (entry.kind !== 'file') return entry;
  const stored = { what: `${shown(entry.name)} in ${raw.what}`, offset: entry.offset, storedBytes: entry.sizeBytes };
  if (raw.type === 'S')
    return { ...entry, ...(await gnuExtents({ ...stored, header: raw.header, read, archiveBytes })) };
  if (!isPaxSparse(raw.pax)) return entry;
  return { ...entry, ...(await paxExtents({ ...stored, pax: raw.pax, records: raw.records, read })) };
}

interface RawEntry {
  header: Buffer;
  type: string;
  size: number;
  pax: Map<string, string>;
  /** All pax records in their order: a sparse file's may be there many times. */
  records: readonly PaxRecord[];
  what: string;
  offset: number;
}

function entryOf(raw: RawEntry): TarEntry {
  const { header, type, size, pax, what, offset } = raw;
  const magic = fieldText(header, 'magic');
  const prefix = magic.startsWith('ustar') && !magic.startsWith('ustar ') ? fieldText(header, 'prefix') : '';
  const ownName = fieldText(header, 'name');
  // A sparse file's `path` is made up, for readers that do not know it.
  const name = pax.get('GNU.sparse.name') ?? pax.get('path') ?? (prefix === '' ? ownName : `${prefix}/${ownName}`);
  const target = pax.get('linkpath') ?? fieldText(header, 'target');
  if (name.includes('\0') || target.includes('\0')) throw new Error(`cannot read ${what}: a name holds a zero byte`);
  // Old writers say "directory" by a trailing slash only.
  const kind = kindOf[type] === 'file' && name.endsWith('/') ? 'directory' : kindOf[type];
  if (kind === undefined)
    throw new Error(
      `cannot read ${what}: ${shown(name)} is of unknown type ${JSON.stringify(type)}, want a file, link, directory, device or fifo`,
    );
  const xattrs = new Map<string, string>();
  for (const [key, value] of pax) if (key.startsWith(xattrPrefix)) xattrs.set(key.slice(xattrPrefix.length), value);
  const paxNumber = (key: string, own: () => number): number => {
    const value = pax.get(key);
    if (value === undefined) return own();
    const found = Number(value);
    if (value.trim() === '' || !Number.isFinite(found) || Math.abs(found) > Number.MAX_SAFE_INTEGER) {
      throw new Error(`cannot read ${what}: ${key} of ${shown(name)} is ${shown(value)}, want a number`);
    }
    return Math.floor(found);
  };
  const sizeBytes = paxNumber('size', () => size);
  const uid = paxNumber('uid', () => number(raw, 'uid'));
  const gid = paxNumber('gid', () => number(raw, 'gid'));
  const mtime = paxNumber('mtime', () => number(raw, 'mtime'));
  const mode = number(raw, 'mode') & 0o7777;
  for (const [key, value] of Object.entries({ size: sizeBytes, uid, gid })) {
    if (value < 0) throw new Error(`cannot read ${what}: ${key} of ${shown(name)} is ${value}, want 0 or more`);
  }
  // Links, devices and directories have no content whatever their size field says (as GNU tar and Go read it).
  return { name, kind, mode, uid, gid, mtime, target, sizeBytes: kind === 'file' ? sizeBytes : 0, offset, xattrs };
}

/** Reads through a window, because headers of small files stand close together. */
function windowedReader(file: FileHandle, sizeBytes: number) {
  let window = Buffer.alloc(0);
  let start = 0;
  return async (offset: number, length: number): Promise<Buffer> => {
    if (offset < start || offset + length > start + window.length) {
      const wanted = Math.min(Math.max(length, 1 << 18), sizeBytes - offset);
      const next = Buffer.alloc(wanted);
      let filled = 0;
      while (filled < wanted) {
        const { bytesRead } = await file.read(next, filled, wanted - filled, offset + filled);
        if (bytesRead === 0) throw new Error(`cannot read ${length} bytes at ${offset}: the file became shorter`);
        filled += bytesRead;
      }
      window = next;
      start = offset;
    }
    return window.subarray(offset - start, offset - start + length);
  };
}

function padded(sizeBytes: number): number {
  return Math.ceil(sizeBytes / blockBytes) * blockBytes;
}

function field(header: Buffer, name: Field): Buffer {
  const [start, length] = fieldAt[name];
  return header.subarray(start, start + length);
}

function fieldText(header: Buffer, name: Field): string {
  const value = field(header, name).toString('latin1');
  const end = value.indexOf('\0');
  return end < 0 || name === 'type' ? value : value.slice(0, end);
}

/** Octal text, or (GNU) base 256 with the first bit set. */
function number({ header, what }: Pick<RawEntry, 'header' | 'what'>, name: Field): number {
  return tarNumber(field(header, name), { what, name });
}

function checkSum(header: Buffer, what: string): void {
  const digits = fieldText(header, 'checksum').trim();
  const stored = /^[0-7]{1,7}$/.test(digits) ? Number.parseInt(digits, 8) : -1;
  // Of the header with spaces in the place of the checksum itself.
  const own = field(header, 'checksum');
  const sum = sumOf(header) - sumOf(own) + own.length * 0x20;
  if (stored !== sum)
    throw new Error(
      `cannot read ${what}: a header's checksum is ${shown(digits)}, want ${sum.toString(8)} (is it a tar archive?)`,
    );
}

function sumOf(bytes: Buffer): number {
  return bytes.reduce((sum, byte) => sum + byte, 0);
}

function* paxRecords(content: string, what: string): Generator<[string, string]> {
  let at = 0;
  while (at < content.length && content[at] !== '\0') {
    const space = content.indexOf(' ', at);
    const digits = content.slice(at, space);
    const end = at + Number(digits);
    const equals = content.indexOf('=', space);
    if (
      space < 0 ||
      !/^[0-9]{1,7}$/.test(digits) ||
      end > content.length ||
      equals < 0 ||
      equals >= end ||
      content[end - 1] !== '\n'
    ) {
      throw new Error(`cannot read ${what}: malformed pax record at byte ${at}`);
    }
    yield [content.slice(space + 1, equals), content.slice(equals + 1, end - 1)];
    at = end;
  }
}

export type TarHeader = Omit<TarEntry, 'offset'>;

const namedKinds: Record<Exclude<TarKind, 'device'>, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  directory: '5',
  fifo: '6',
};

/** The header blocks of one entry: a pax header before the ustar one where that cannot say it all. */
export function tarHeader(entry: TarHeader): Buffer {
  if (entry.kind === 'device') throw new Error(`cannot write ${shown(entry.name)}: devices are left out of images`);
  const pax: [string, string][] = [];
  // Paths of 100 bytes and more go to pax: simpler than ustar's prefix, and every reader knows it.
  if (entry.name.length > 100) pax.push(['path', entry.name]);
  if (entry.target.length > 100) pax.push(['linkpath', entry.target]);
  if (entry.sizeBytes >= 8 ** 11) pax.push(['size', String(entry.sizeBytes)]);
  if (entry.uid >= 8 ** 7) pax.push(['uid', String(entry.uid)]);
  if (entry.gid >= 8 ** 7) pax.push(['gid', String(entry.gid)]);
  for (const [key, value] of [...entry.xattrs].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    pax.push([xattrPrefix + key, value]);
  const main = ustar(entry, namedKinds[entry.kind]);
  if (pax.length === 0) return main;
  const records = Buffer.from(pax.map(([key, value]) => paxRecord(key, value)).join(''), 'latin1');
  const extension = ustar(
    { ...entry, name: 'pax', target: '', mode: 0o644, uid: 0, gid: 0, sizeBytes: records.length },
    'x',
  );
  return Buffer.concat([extension, records, tarPadding(records.length), main]);
}

/** What fills the last block of a content of that size. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc(padded(sizeBytes) - sizeBytes);
}

export const tarEnd = Buffer.alloc(2 * blockBytes);

function ustar(entry: TarHeader, type: string): Buffer {
  const header = Buffer.alloc(blockBytes);
  const put = (name: Field, value: string) => field(header, name).write(value.slice(0, fieldAt[name][1]), 'latin1');
  const octal = (name: Field, value: number) => {
    const width = fieldAt[name][1] - 1;
    put(name, (value >= 8 ** width ? 0 : value).toString(8).padStart(width, '0'));
  };
  put('name', entry.name);
  octal('mode', entry.mode);
  octal('uid', entry.uid);
  octal('gid', entry.gid);
  octal('size', entry.sizeBytes);
  octal('mtime', Math.min(Math.max(entry.mtime, 0), 2 ** 32 - 1));
  put('checksum', ' '.repeat(8));
  put('type', type);
  put('target', entry.target);
  put('magic', 'ustar\x0000');
  const sum = header.reduce((total, byte) => total + byte, 0);
  put('checksum', `${sum.toString(8).padStart(6, '0')}\0 `);
  return header;
}

/** `<length> <key>=<value>\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}
