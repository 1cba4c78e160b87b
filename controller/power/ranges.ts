// Lists of whole numbers as people write them: `1-16,33`.

/** At most this many in one list. */
const limit = 4_096;

/** Undefined where it is no such list, or names a number twice. */
export function numbersOf(text: string): number[] | undefined {
  const numbers: number[] = [];
  for (const part of text.split(',')) {
    const match = /^\s*(\d{1,6})(?:-(\d{1,6}))?\s*$/.exec(part);
    if (match === null) return undefined;
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    if (from < 1 || to < from || numbers.length + to - from >= limit) return undefined;
    for (let each = from; each <= to; each++) numbers.push(each);
  }
  return new Set(numbers).size === numbers.length ? numbers : undefined;
}
