// What a board prints on its serial line: kept in a file with the time since power-on, and searched by tests.
import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';

const keptChars = 256 * 1024;

// Firmware moves the cursor and sets colours; neither belongs in a log.
// oxlint-disable-next-line no-control-regex
const terminalCodes = /\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][0-9A-B]|[\x00-\x08\x0b-\x1f\x7f]/g;

type Waiter = { pattern: RegExp; resolve: (match: RegExpExecArray) => void };

export class SerialLog implements AsyncDisposable {
  readonly path: string;
  readonly #file: WriteStream;
  readonly #waiters = new Set<Waiter>();
  readonly #followers = new Set<(line: string) => void>();
  #text = '';
  #partial = '';
  #poweredOnAt = performance.now();

  constructor(path: string) {
    this.path = path;
    this.#file = createWriteStream(path, { flags: 'a' });
  }

  /** From here on times count from zero, and `waitFor` looks at nothing older. */
  powerOn(): void {
    this.#poweredOnAt = performance.now();
    this.#text = '';
    this.#partial = '';
    this.#file.write('--- power on\n');
  }

  append(chunk: Buffer): void {
    const lines = (this.#partial + chunk.toString('latin1')).split('\n');
    // A prompt has no line end: what is unfinished can be waited for too, but is written when it is whole.
    this.#partial = (lines.pop() ?? '').slice(-4096);
    const seconds = ((performance.now() - this.#poweredOnAt) / 1000).toFixed(2).padStart(8);
    for (const line of lines.map((raw) => raw.replace(terminalCodes, '').trimEnd()).filter((text) => text !== '')) {
      this.#file.write(`${seconds} ${line}\n`);
      this.#text = `${this.#text}${line}\n`.slice(-keptChars);
      for (const follower of this.#followers) follower(line);
    }
    for (const waiter of this.#waiters) {
      const match = waiter.pattern.exec(this.#text + this.#partial.replace(terminalCodes, ''));
      if (match !== null) waiter.resolve(match);
    }
  }

  /** Resolves when the board has printed `pattern` since power-on; rejects with the last lines after `timeoutMs`. */
  async waitFor(pattern: RegExp, { timeoutMs = 150_000 }: { timeoutMs?: number } = {}): Promise<RegExpExecArray> {
    const already = pattern.exec(this.#text + this.#partial);
    if (already !== null) return already;
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
    const waiter = { pattern, resolve };
    this.#waiters.add(waiter);
    const timer = setTimeout(
      () => reject(new Error(`serial line: no ${String(pattern)} in ${timeoutMs / 1000} s; ${this.tail()}`)),
      timeoutMs,
    );
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    });
  }

  /** Calls `follower` with each whole line in the moment in which it comes. */
  follow(follower: (line: string) => void): void {
    this.#followers.add(follower);
  }

  /** The last lines, for a message about what went wrong. */
  tail(lines = 15): string {
    const last = (this.#text + this.#partial).trimEnd().split('\n').slice(-lines);
    return `the last of ${this.path}:\n    ${last.join('\n    ')}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file.end();
    await finished(this.#file);
  }
}
