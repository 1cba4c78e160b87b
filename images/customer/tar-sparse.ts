/**
 * Sparse files in tar archives, in the four forms that GNU tar and what imitates it have written (its manual, *Storing
 * Sparse Files*): the old GNU header, and pax 0.0, 0.1 and 1.0. All say the same: which pieces of a file are there.
 *
 *     old GNU   a header of type S: 4 pieces at 386, more in blocks after it; the whole size at 483
 *     pax 0.0   GNU.sparse.size, and GNU.sparse.offset and .numbytes again and again
 *     pax 0.1   GNU.sparse.size, GNU.sparse.map=offset,bytes,offset,bytes,…
 *     pax 1.0   GNU.sparse.major=1, .realsize; the map is text at the head of the content, in whole blocks
 */
import { tarNumber } from './tar-number.ts';

/** offset, bytes, offset, bytes, …, ascending; 16 bytes a piece, because an image may hold many. */
export type Extents = Float64Array;

export interface Sparse {
  extents: Extents;
  /** Of the whole file. */
  sizeBytes: number;
  /** Where the first piece is. */
  offset: number;
  /** Between the header and the content. */
  skippedBytes?: number;
}

export interface Stored {
  /** What errors call the file. */
  what: string;
  /** Where the archive's content of it begins, and how long that is. */
  offset: number;
  storedBytes: number;
  read: (offset: number, length: number) => Promise<Buffer>;
}

const blockBytes = 512;
/** Of one file. GNU tar writes a piece for each run of data; a database of 4 GiB with a hole in every 64 KiB has these. */
const extentLimit = 65_536;
const mapBytesLimit = 1 << 20;
const pieceBytes = 24;

/** Throws one sentence where the header or the blocks after it are not sound. */
export async function gnuExtents({
  header,
  archiveBytes,
  ...stored
}: Stored & { header: Buffer; archiveBytes: number }): Promise<Sparse> {
  const { what, read } = stored;
  const numbers: number[] = [];
  const take = (block: Buffer, { at, pieces }: { at: number; pieces: number }): void => {
    for (let piece = 0; piece < pieces; piece += 1) {
      const start = at + piece * pieceBytes;
      // The first empty piece ends the list.
      if (block[start + 12] === 0) return;
      numbers.push(tarNumber(block.subarray(start, start + 12), { what, name: 'offset' }));
      numbers.push(tarNumber(block.subarray(start + 12, start + 24), { what, name: 'numbytes' }));
    }
    if (numbers.length > 2 * extentLimit) throw tooMany(what);
  };
  take(header, { at: 386, pieces: 4 });
  let { offset } = stored;
  for (let more = header[482] !== 0; more;) {
    if (offset + blockBytes > archiveBytes) throw new Error(`cannot read ${what}: the archive ends within its map`);
    const block = await read(offset, blockBytes);
    take(block, { at: 0, pieces: 21 });
    more = block[504] !== 0;
    offset += blockBytes;
  }
  const sizeBytes = tarNumber(header.subarray(483, 495), { what, name: 'realsize' });
  const skippedBytes = offset - stored.offset;
  if (offset + stored.storedBytes > archiveBytes) throw new Error(`cannot read ${what}: the archive ends within it`);
  return { ...checked(numbers, { what, sizeBytes, storedBytes: stored.storedBytes }), offset, skippedBytes };
}

export function isPaxSparse(pax: ReadonlyMap<string, string>): boolean {
  return ['size', 'major', 'map', 'realsize'].some((key) => pax.has(`GNU.sparse.${key}`));
}

/** Throws one sentence where records or map are not sound. */
export async function paxExtents({
  pax,
  records,
  ...stored
}: Stored & { pax: ReadonlyMap<string, string>; records: readonly (readonly [string, string])[] }): Promise<Sparse> {
  const { what, storedBytes, offset } = stored;
  const sizeText = pax.get('GNU.sparse.realsize') ?? pax.get('GNU.sparse.size');
  const sizeBytes = decimal(sizeText ?? '', what);
  const version = `${pax.get('GNU.sparse.major') ?? '0'}.${pax.get('GNU.sparse.minor') ?? '0'}`;
  if (version === '1.0') {
    const { numbers, mapBytes } = await mapAtHead(stored);
    return {
      ...checked(numbers, { what, sizeBytes, storedBytes: storedBytes - mapBytes }),
      offset: offset + mapBytes,
    };
  }
  if (version !== '0.0' && version !== '0.1')
    throw new Error(
      `cannot read ${what}: it is stored sparsely in the form ${JSON.stringify(version).slice(0, 20)}, want 0.0, 0.1 or 1.0`,
    );
  const map = pax.get('GNU.sparse.map');
  const texts =
    map === undefined
      ? records.flatMap(([key, value]) => (/^GNU\.sparse\.(offset|numbytes)$/.test(key) ? value : []))
      : map.split(',').filter((text) => text !== '');
  if (texts.length > 2 * extentLimit) throw tooMany(what);
  const numbers = texts.map((text) => decimal(text, what));
  return { ...checked(numbers, { what, sizeBytes, storedBytes }), offset };
}

/** A count, then that many pairs, each number on a line of its own; filled up to whole blocks. */
async function mapAtHead({
  what,
  offset,
  storedBytes,
  read,
}: Stored): Promise<{ numbers: number[]; mapBytes: number }> {
  const lines: string[] = [];
  let rest = '';
  let mapBytes = 0;
  for (let wanted = 1; lines.length < wanted;) {
    if (mapBytes >= mapBytesLimit) throw tooMany(what);
    if (mapBytes + blockBytes > storedBytes) throw new Error(`cannot read ${what}: its map ends too early`);
    const parts = (rest + (await read(offset + mapBytes, blockBytes)).toString('latin1')).split('\n');
    mapBytes += blockBytes;
    rest = parts.pop() ?? '';
    lines.push(...parts);
    if (lines.length === 0) continue;
    const count = decimal(lines[0] ?? '', what);
    if (count > extentLimit) throw tooMany(what);
    wanted = 1 + 2 * count;
    lines.length = Math.min(lines.length, wanted);
  }
  return { numbers: lines.slice(1).map((line) => decimal(line, what)), mapBytes };
}

interface Whole {
  what: string;
  sizeBytes: number;
  storedBytes: number;
}

/** Pieces that ascend, stay within the file and fill what is stored: what is written from them has no surprises. */
function checked(numbers: readonly number[], { what, sizeBytes, storedBytes }: Whole): Omit<Sparse, 'offset'> {
  let end = 0;
  let sum = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const [start = 0, bytes = -1] = [numbers[at], numbers[at + 1]];
    if (bytes < 0 || start < end || start + bytes > sizeBytes)
      throw new Error(
        `cannot read ${what}: piece ${at / 2 + 1} of the sparse file is ${bytes} bytes at ${start}, want pieces in order within its ${sizeBytes} bytes`,
      );
    end = start + bytes;
    sum += bytes;
  }
  if (sum !== storedBytes)
    throw new Error(`cannot read ${what}: its map has ${sum} bytes of the sparse file, ${storedBytes} are stored`);
  return { extents: Float64Array.from(numbers), sizeBytes };
}

function tooMany(what: string): Error {
  return new Error(`cannot read ${what}: more than ${extentLimit} pieces, want it without --sparse`);
}

function decimal(text: string, what: string): number {
  if (!/^[0-9]{1,15}$/.test(text))
    throw new Error(`cannot read ${what}: ${JSON.stringify(text.slice(0, 40))} in its map of holes, want a number`);
  return Number(text);
}
