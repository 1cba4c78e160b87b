// What one question wants of a database, read in pages: the package makes an object of each row, all of one statement at
// once, and 10,000 rows would hold the event loop for 50 ms.

const rowsPerPage = 100;

export interface PageWanted<Row> {
  rows: number;
  /** The sum of sizes beyond which no further row is wanted. */
  bytes: number;
  /** Of the page before; undefined for the first. */
  last: Row | undefined;
}

/** A row with the sum of sizes from the first of its page up to it. */
export type Sized<Row> = Row & { bytes: number };

export interface PagedRows<Row> {
  rows: Sized<Row>[];
  bytes: number;
}

/** Its parameters: those of `where`, the most rows, the bytes beyond which no further row is wanted. */
export function pageStatement(of: { table: string; where: string; order: string; size: string }): string {
  const { table, where, order, size } = of;
  return `SELECT * FROM (SELECT *, sum(${size}) OVER (${order}) AS bytes FROM ${table} WHERE ${where} ${order} LIMIT ?)
    WHERE bytes - (${size}) < ? ${order}`;
}

/** At most `rows`, and none after `bytes` are reached. `read` sees to it that nothing is written between two pages. */
export async function readInPages<Row>(
  most: Pick<PageWanted<Row>, 'rows' | 'bytes'>,
  read: (wanted: PageWanted<Row>) => Promise<Sized<Row>[]>,
): Promise<PagedRows<Row>> {
  const all: Sized<Row>[] = [];
  let bytes = 0;
  while (all.length < most.rows && bytes < most.bytes) {
    const rows = Math.min(rowsPerPage, most.rows - all.length);
    const page = await read({ rows, bytes: most.bytes - bytes, last: all.at(-1) });
    all.push(...page);
    bytes += page.at(-1)?.bytes ?? 0;
    if (page.length < rows) break;
  }
  return { rows: all, bytes };
}
