// Aligned columns under a heading, made as narrow as the terminal is.
import { printable } from '../../protocol/printable.ts';
import type { Part, Tone } from './screen.ts';

/** A column of figures (`right`) ends in line. What would steer a terminal is taken out of each value. */
export interface Column<Row> {
  heading: string;
  right?: true;
  readonly value: (row: Row) => string;
  /** Whether the value is good news. */
  readonly tone?: (row: Row) => Tone | undefined;
  /** Where a terminal is too narrow, columns that say this are left out: those with 1 first. */
  yields?: number;
  /** Text that is of use also when its end is missing: it is cut before anything is left out. */
  cut?: true;
}

const gap = '  ';
/** Less of a text tells nothing. */
const shortestCut = 10;

interface Table<Row> {
  columns: readonly Column<Row>[];
  rows: readonly Row[];
}

export function table<Row>(whole: Table<Row>): string {
  return tableParts(whole, undefined)
    .map(({ text }) => text)
    .join('');
}

/** `terminal`: how many columns of characters it has; undefined where there is none, and nothing is cut. */
export function tableParts<Row>({ columns, rows }: Table<Row>, terminal: number | undefined): Part[] {
  const cells = columns.map(({ heading, value, tone }) => [
    { text: heading },
    ...rows.map((row) => ({ text: printable(value(row)), tone: tone?.(row) })),
  ]);
  const needed = cells.map((own) => Math.max(...own.map(({ text }) => width(text))));
  const widths = terminal === undefined ? needed : fitted(columns, { needed, terminal });
  const shown = columns.flatMap((column, at) => {
    const columnWidth = widths[at] ?? 0;
    return columnWidth === 0 ? [] : [{ column, columnWidth, own: cells[at] ?? [] }];
  });
  const parts: Part[] = [];
  for (let line = 0; line <= rows.length; line += 1) {
    shown.forEach(({ column, columnWidth, own }, at) => {
      const cell: Part = own[line] ?? { text: '' };
      const text = cut(cell.text, columnWidth);
      const padding = ' '.repeat(columnWidth - width(text));
      const isLast = at === shown.length - 1;
      if (column.right === true) parts.push({ text: padding });
      parts.push({ text, tone: cell.tone });
      if (column.right !== true) parts.push({ text: padding });
      if (!isLast) parts.push({ text: gap });
    });
    trimEnd(parts);
    parts.push({ text: '\n' });
  }
  return parts.filter(({ text }) => text !== '');
}

/** Nothing but what is read stands at the end of a line. */
function trimEnd(parts: Part[]): void {
  for (let at = parts.length - 1; at >= 0; at -= 1) {
    const part = parts[at];
    if (part === undefined || part.text.endsWith('\n')) return;
    part.text = part.text.trimEnd();
    if (part.text !== '') return;
  }
}

/** The widths with which the table fits, 0 for a column that is left out. What yields nothing may still be too wide. */
function fitted<Row>(
  columns: readonly Column<Row>[],
  { needed, terminal }: { needed: readonly number[]; terminal: number },
): number[] {
  const order = columns
    .flatMap(({ yields, heading, cut: isCut }, at) => {
      const least = isCut === true ? Math.max(width(heading), shortestCut) : Infinity;
      return yields === undefined ? [] : [{ at, yields, least }];
    })
    .toSorted((a, b) => a.yields - b.yields);
  for (let leftOut = 0; ; leftOut += 1) {
    const widths = [...needed];
    for (const { at } of order.slice(0, leftOut)) widths[at] = 0;
    for (const { at, least } of order.slice(leftOut)) {
      const own = widths[at] ?? 0;
      widths[at] = Math.max(Math.min(least, own), own - Math.max(0, total(widths) - terminal));
    }
    if (leftOut === order.length || total(widths) <= terminal) return widths;
  }
}

function total(widths: readonly number[]): number {
  const present = widths.filter((each) => each > 0);
  return present.reduce((sum, each) => sum + each, 0) + gap.length * Math.max(0, present.length - 1);
}

function cut(text: string, columnWidth: number): string {
  if (width(text) <= columnWidth) return text;
  const kept = characters(text).slice(0, Math.max(0, columnWidth - 1));
  return `${kept.join('').trimEnd()}…`;
}

// Made when it is first needed: that takes as long as all else that a command loads.
let segmenter: Intl.Segmenter | undefined;
function characters(text: string): string[] {
  segmenter ??= new Intl.Segmenter();
  return [...segmenter.segment(text)].map(({ segment }) => segment);
}

const ascii = /^[\x20-\x7e]*$/;

/** As a reader counts: a letter and the accents put on it are one. */
function width(text: string): number {
  return ascii.test(text) ? text.length : characters(text).length;
}
