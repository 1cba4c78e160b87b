// The two ways every command answers: JSON as it came, or text.
import { printableJson } from '../../protocol/printable.ts';
import type { Context } from '../command.ts';
import { lineAgain } from './screen.ts';
import { tableParts, type Column } from './table.ts';

export function printJson({ output }: Context, value: unknown): void {
  output.out(`${printableJson(JSON.stringify(value, null, 2))}\n`);
}

export interface Listing<Row> {
  /** The key in the JSON. */
  name: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  /** Said instead of an empty table. */
  none: string;
}

export function printList<Row>(context: Context, { name, rows, columns, none }: Listing<Row>): void {
  if (context.json) printJson(context, { [name]: rows });
  else if (rows.length === 0) context.output.out(`${none}\n`);
  else context.output.out(tableParts({ columns, rows }, context.output.columns));
}

/** A change that was made: the document, or one line. */
export function printDone(context: Context, done: { json: unknown; text: string }): void {
  if (context.json) printJson(context, done.json);
  else context.output.out(`${done.text}\n`);
}

export interface LiveLine {
  /** Replaces what it said before on a terminal; elsewhere each different line is printed. */
  show(text: string): void;
  /** Leaves what is shown, and ends the line. */
  end(): void;
}

/** Progress goes to standard error, so that output can be piped. With `--json` there is none: errors alone are said there. */
export function liveLine({ output, json }: Context): LiveLine {
  let shown = '';
  return {
    show: (text) => {
      if (text === shown || json) return;
      shown = text;
      output.err(output.tty ? `${lineAgain}${text}` : `${text}\n`);
    },
    end: () => {
      if (output.tty && shown !== '') output.err('\n');
      shown = '';
    },
  };
}
