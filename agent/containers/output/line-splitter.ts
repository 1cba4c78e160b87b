// Bytes in, lines out. What comes out first is raw: cleaning is dearer than splitting, and a flood's lines are mostly lost.

export const lineLimitCharacters = 4_096;

export class LineSplitter {
  #rest = '';
  /** What was not heard tore a line: the rest of it is nothing either. */
  #isTorn = false;
  readonly #decoder = new TextDecoder();

  /** Whole lines, to be cleaned by `cleanLine`. */
  push(bytes: Uint8Array): string[] {
    let heard = bytes;
    if (this.#isTorn) {
      const end = bytes.indexOf(10);
      if (end < 0) return [];
      this.#isTorn = false;
      heard = bytes.subarray(end + 1);
    }
    const lines = (this.#rest + this.#decoder.decode(heard, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > lineLimitCharacters) {
      // A colour that has only begun waits for its end.
      const [begun = ''] = begunControl.exec(this.#rest) ?? [];
      const cut = cleanLine(this.#rest.slice(0, this.#rest.length - begun.length));
      this.#rest = (cut.pop() ?? '') + begun;
      lines.push(...cut);
    }
    return lines;
  }

  /** Some bytes were thrown away at this place. */
  tear(): void {
    this.#rest = '';
    this.#isTorn = true;
    // It may be in the middle of a character.
    this.#decoder.decode();
  }

  /** What came after the last end of a line. */
  flush(): string[] {
    const rest = this.#rest;
    this.#rest = '';
    return rest === '' ? [] : [rest];
  }
}

const escape = '\\u001b';
const begunControl = new RegExp(`${escape}(\\[[0-?]*[ -/]*)?$`);

/**
 * Whole escape sequences (ECMA-48: control strings, control sequences, the rest), then what other control characters there are
 * but the tab.
 */
const controls = new RegExp(
  [
    '\\u001b[\\]PX^_][^\\u0007\\u001b\\u009c]*(?:\\u0007|\\u001b\\\\|\\u009c)',
    '(?:\\u001b\\[|\\u009b)[0-?]*[ -/]*[@-~]',
    '\\u001b[ -/]*[0-~]',
    '[\\u0000-\\u0008\\u000a-\\u001f\\u007f-\\u009f]',
  ].join('|'),
  'g',
);

/** Without colours and control characters, in pieces of at most 4096 characters. */
export function cleanLine(line: string): string[] {
  const text = line.replaceAll(controls, '');
  const pieces: string[] = [];
  for (let at = 0; at < text.length || at === 0; at += lineLimitCharacters)
    pieces.push(text.slice(at, at + lineLimitCharacters));
  return pieces;
}
