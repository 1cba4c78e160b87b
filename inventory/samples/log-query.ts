// Which log lines are asked for.
import { pageStatement } from '../store/paged-read.ts';

export interface WantedLogs {
  customer: string;
  workload?: string;
  instance?: string;
  /** At most so many lines: the last ones. */
  tail: number;
  /** Only lines older than this, which an earlier answer gave as its `before`. */
  before?: number;
  /** Only lines newer than this, which an earlier answer gave as its `last`. */
  after?: number;
  /** Only lines of that time or later, in milliseconds since 1970. */
  since?: number;
}

/** A page of them, newest first. `parameters`: all but the last line that the page before had, which comes last. */
export function logQuery(
  { customer, workload, instance, after = 0, since = 0 }: WantedLogs,
  { size }: { size: string },
): { sql: string; parameters: (string | number)[] } {
  const named = Object.entries({ customer, workload, instance }).flatMap(([column, value]): [string, string][] =>
    value === undefined ? [] : [[column, value]],
  );
  const where = [...named.map(([column]) => `${column} = ?`), 'id > ?', 'at >= ?', 'id < ?'].join(' AND ');
  return {
    sql: pageStatement({ table: 'logs', where, order: 'ORDER BY id DESC', size }),
    parameters: [...named.map(([, value]) => value), after, since],
  };
}
