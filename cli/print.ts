// The two ways every command answers: JSON as it came, or text.
import { printableJson, printableLines } from '../protocol/printable.ts';
import type { Call, Context, Output } from './command.ts';
import { table, type Column } from './table.ts';

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

export function printList<Row>(context: Context, call: Call, { name, rows, columns, none }: Listing<Row>): void {
  if (call.json) printJson(context, { [name]: rows });
  else context.output.out(rows.length === 0 ? `${none}\n` : table(columns, rows));
}

/** A change that was made: the document, or one line. */
export function printDone(context: Context, call: Call, done: { json: unknown; text: string }): void {
  if (call.json) printJson(context, done.json);
  else context.output.out(`${done.text}\n`);
}

export interface LiveLine {
  /** Replaces what it said before on a terminal; elsewhere each different line is printed. */
  show(text: string): void;
  /** Leaves what is shown, and ends the line. */
  end(): void;
}

/** Begins the line of a terminal anew. */
const lineAgain = '\r\u001b[K';

/**
 * The last gate before the terminal, whatever a command forgot: of all that would steer it only line feeds get through, and
 * the live line's own beginning.
 */
export function guarded(output: Output): Output {
  const gate = (text: string) =>
    text.startsWith(lineAgain) ? lineAgain + printableLines(text.slice(lineAgain.length)) : printableLines(text);
  return { out: (text) => output.out(gate(text)), err: (text) => output.err(gate(text)), tty: output.tty };
}

/** Progress goes to standard error, so that output can be piped. */
export function liveLine({ output }: Context): LiveLine {
  let shown = '';
  return {
    show: (text) => {
      if (text === shown) return;
      shown = text;
      output.err(output.tty ? `${lineAgain}${text}` : `${text}\n`);
    },
    end: () => {
      if (output.tty && shown !== '') output.err('\n');
      shown = '';
    },
  };
}
