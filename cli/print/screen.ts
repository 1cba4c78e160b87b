// The way of a text to the terminal.
import { printableLines } from '../../protocol/printable.ts';

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

/** Beside good and bad: which of several it is, for lines of several that come mixed. */
export type Tone = 'good' | 'bad' | 'warning' | Member;
export type Member = (typeof members)[number];
export const members = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth'] as const;
const colours: Record<Tone, string> = {
  good: '\u001b[32m',
  bad: '\u001b[31m',
  warning: '\u001b[33m',
  first: '\u001b[36m',
  second: '\u001b[35m',
  third: '\u001b[34m',
  fourth: '\u001b[96m',
  fifth: '\u001b[95m',
  sixth: '\u001b[94m',
};
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

/** Begins the line of a terminal anew. */
export const lineAgain = '\r\u001b[K';

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
