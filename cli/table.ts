import { printable } from '../protocol/printable.ts';

/** Aligned columns under a heading; a column of figures (`right`) ends in line. What would steer a terminal is taken out. */
export interface Column<Row> {
  heading: string;
  right?: true;
  readonly value: (row: Row) => string;
}

export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map(({ heading }) => heading),
    ...rows.map((row) => columns.map(({ value }) => printable(value(row)))),
  ];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => width(line[at] ?? ''))));
  return lines
    .map((line) =>
      line
        .map((cell, at) => {
          const padding = ' '.repeat((widths[at] ?? 0) - width(cell));
          return columns[at]?.right === true ? padding + cell : cell + padding;
        })
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

const characters = new Intl.Segmenter();

/** As a reader counts: a letter and the accents put on it are one. */
function width(text: string): number {
  return [...characters.segment(text)].length;
}
