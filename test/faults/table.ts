// The faults table of docs/GUARANTEE.md: measurements in, Markdown out. Pure.
import { median } from '../bench/figure.ts';
import type { Measurement } from './fault.ts';

export const tableBegins = '<!-- faults: written by test/faults/main.ts --write -->';
export const tableEnds = '<!-- end of faults -->';

/** One row a fault and variant; of several measurements of one the latest counts. */
export function latest(measurements: readonly Measurement[]): Measurement[] {
  const rows = new Map<string, Measurement>();
  for (const each of measurements) {
    const key = `${each.where} ${each.fault} ${each.name} ${each.variant}`;
    const present = rows.get(key);
    if (present === undefined || present.at <= each.at) rows.set(key, each);
  }
  return [...rows.values()].toSorted((a, b) => a.fault - b.fault || order(a.where) - order(b.where));
}

export function faultsTable(measurements: readonly Measurement[]): string {
  const lines = [
    '| # | fault | what was done | where | runs | median | worst | promise | again |',
    '|--:|---|---|---|--:|--:|--:|--:|---|',
    ...latest(measurements).map((each) => row(each)),
  ];
  return lines.join('\n');
}

function row(each: Measurement): string {
  const { fault, variant, name, where, what, runs, gone, boundMs, also = {} } = each;
  // A figure that is 0 throughout says nothing.
  const figures = Object.entries(also)
    .filter(([, values]) => worst(values) > 0)
    .map(([figure, values]) => figureText(figure, values));
  const cells = [
    String(fault),
    variant === '' ? name : `${name}, ${variant}`,
    [what.replace(/\.$/, ''), ...figures].join('; '),
    where === 'host' ? 'namespaces' : 'QEMU',
    `${runs} (${gone.length} stops)`,
    inSeconds(median(gone)),
    worst(gone) > boundMs ? `**${inSeconds(worst(gone))}**` : inSeconds(worst(gone)),
    inSeconds(boundMs, 1),
    `\`--only ${fault}\``,
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

/** `board reset 1837 ms, at worst 1915 ms`, of a figure that is called `board reset, ms` */
function figureText(figure: string, values: readonly number[]): string {
  const [name, unit = ''] = figure.split(', ');
  return `${name} ${Math.round(median(values))} ${unit}, at worst ${worst(values)} ${unit}`;
}

/** The page with this table between its markers. Throws where a marker is missing. */
export function withTable(page: string, table: string): string {
  const [begin, end] = [page.indexOf(tableBegins), page.indexOf(tableEnds)];
  if (begin < 0 || end < begin)
    throw new Error(`cannot write the table: want ${tableBegins} and ${tableEnds}, in this order`);
  return `${page.slice(0, begin)}${tableBegins}\n\n${table}\n\n${page.slice(end)}`;
}

export function worst(values: readonly number[]): number {
  return Math.round(Math.max(...values));
}

function inSeconds(ms: number, digits = 2): string {
  return `${(ms / 1000).toFixed(digits)} s`;
}

function order(where: Measurement['where']): number {
  return where === 'host' ? 0 : 1;
}
