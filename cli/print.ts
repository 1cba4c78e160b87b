// The two ways every command answers: JSON as it came, or text.
import { printableJson, printableLines } from '../protocol/printable.ts';
import type { Call, Context } from './command.ts';
import { tableParts, type Column } from './table.ts';

/** Where text goes. */
export interface Output {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** `err` is a terminal: lines may be rewritten in place. */
  tty: boolean;
  /** Width of the terminal that `out` is; left out where it is none. */
  columns?: number | undefined;
  /** What is good or bad may be told by colours. */
  colours?: boolean | undefined;
}

export type Tone = 'good' | 'bad' | 'warning';
const colours: Record<Tone, string> = { good: '\u001b[32m', bad: '\u001b[31m', warning: '\u001b[33m' };
const plain = '\u001b[0m';

export interface Part {
  text: string;
  tone?: Tone | undefined;
}

/** What commands write to. Colours are said by tones: an escape sequence in a text is what somebody's data tries. */
export interface Screen {
  out(text: string | readonly Part[]): void;
  err(text: string | readonly Part[]): void;
  tty: boolean;
  columns: number | undefined;
}

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
  else if (rows.length === 0) context.output.out(`${none}\n`);
  else context.output.out(tableParts(columns, rows, context.output.columns));
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
 * The last gate before the terminal, whatever a command forgot: of all that would steer it only line feeds get through, the
 * live line's own beginning, and the colours of parts.
 */
export function guarded({ out, err, tty, columns, colours: isColoured = false }: Output): Screen {
  const gate = (text: string) =>
    text.startsWith(lineAgain) ? lineAgain + printableLines(text.slice(lineAgain.length)) : printableLines(text);
  const painted = ({ text, tone }: Part) =>
    tone === undefined || !isColoured ? gate(text) : `${colours[tone]}${gate(text)}${plain}`;
  const whole = (text: string | readonly Part[]) =>
    typeof text === 'string' ? gate(text) : text.map(painted).join('');
  return { out: (text) => out(whole(text)), err: (text) => err(whole(text)), tty, columns };
}

/** Progress goes to standard error, so that output can be piped. With `--json` there is none: errors alone are said there. */
export function liveLine({ output }: Context, { json }: Pick<Call, 'json'>): LiveLine {
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
