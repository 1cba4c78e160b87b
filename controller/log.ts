// The controller's log: lines of JSON in a file that rotates, and the same as text on stderr, or only there where systemd's
// journal keeps it. Whoever logs never waits: a line goes into a queue with a bound, and where the disk or the reader of
// stderr takes none, lines are lost and counted, and permits go on.
import { appendFileSync, mkdirSync, write as writeDescriptor } from 'node:fs';
import { appendFile, mkdir, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { printable } from '../protocol/printable.ts';

export interface LogLine {
  level: 'info' | 'warn' | 'error';
  /** What the line is of, to filter by: `kill`, `node`, `boot`, `controller` … */
  subject: string;
  message: string;
  /** Which one: a node's MAC address, the number of an order, a customer. */
  about?: string;
}

/** Never throws, never waits. */
export type Log = (line: LogLine) => void;

export interface ControllerLog extends AsyncDisposable {
  log: Log;
  /** For a process that ends in this moment: waits for the disk, and leaves stderr to Node, which prints the error there. */
  lastWords: Log;
  /** Lines that were lost since the start. */
  lost(): number;
}

/** What waits for a slow disk or reader. */
const queueBytesLimit = 1 << 20;
/** Files beside the current one: `controller.log.1` is the newest of them. */
const formerFilesLimit = 4;
const lineCharactersLimit = 4_000;
const flushLimitMs = 1_000;
const retryMs = 100;

/** By syslog's numbers, as the journal reads them before a line. */
const priorities = { info: 6, warn: 4, error: 3 } as const;
const colours = { info: '', warn: '\u001b[33m', error: '\u001b[31m' } as const;

export type TextStyle = 'journal' | 'terminal' | 'plain';

/** One line for a person, with its end. */
export function textOf({ level, subject, message, about }: LogLine, at: number, style: TextStyle): string {
  const text = printable(about === undefined ? `${subject}: ${message}` : `${subject} ${about}: ${message}`);
  if (style === 'journal') return `<${priorities[level]}>${text}\n`;
  const time = new Date(at).toISOString();
  if (style === 'plain') return `${time} ${level} ${text}\n`;
  const colour = colours[level];
  return `${time.slice(11, 19)} ${colour}${level.padEnd(5)}${colour === '' ? '' : '\u001b[0m'} ${text}\n`;
}

/** Whether that descriptor is the journal's: systemd names its device and inode in JOURNAL_STREAM. */
export function isJournal(variable: string | undefined, { dev, ino }: { dev: number; ino: number }): boolean {
  return variable === `${dev}:${ino}`;
}

/**
 * `file` left out: stderr alone. `errorOutput`: how stderr takes text; left out, it is written to file descriptor 2.
 */
export function openLog({
  file,
  style,
  now,
  errorOutput = writeToStderr,
  fileBytesLimit = 8 << 20,
}: {
  file?: string | undefined;
  style: TextStyle;
  /** Milliseconds since 1970. */
  now: () => number;
  errorOutput?: (text: string) => Promise<void>;
  /** A file that has as much makes room for a new one; four former ones are kept. */
  fileBytesLimit?: number;
}): ControllerLog {
  const queues = [new LineQueue(errorOutput)];
  const [texts] = queues;
  const lines = file === undefined ? undefined : new LineQueue(rotatingFile(file, fileBytesLimit));
  if (lines !== undefined) queues.push(lines);
  const loggerTo = (write: (line: string) => void) =>
    pino(
      {
        base: null,
        messageKey: 'message',
        formatters: { level: (level) => ({ level }) },
        timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      },
      { write },
    );
  const logger = loggerTo((line) => lines?.add(line));
  return {
    log: (given) => {
      const { level, message, ...rest } = { ...given, message: given.message.slice(0, lineCharactersLimit) };
      texts?.add(textOf({ level, message, ...rest }, now(), style));
      logger[level](rest, message);
    },
    lastWords: ({ level, message, ...rest }) => {
      if (file === undefined) return;
      try {
        mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
        loggerTo((line) => appendFileSync(file, line, { mode: 0o600 }))[level](rest, message);
      } catch {
        // What is to be said goes to stderr as well, and may be about this very disk.
      }
    },
    lost: () => queues.reduce((sum, { lost }) => sum + lost, 0),
    [Symbol.asyncDispose]: async () => {
      await Promise.race([
        Promise.all(queues.map((queue) => queue.idle())),
        delay(flushLimitMs, undefined, { ref: false }),
      ]);
    },
  };
}

/** Texts in their order, as many at once as have come meanwhile. What cannot be written is lost. */
class LineQueue {
  readonly #write: (text: string) => Promise<void>;
  #waiting: string[] = [];
  #bytes = 0;
  #draining: Promise<void> | undefined;
  lost = 0;

  constructor(write: (text: string) => Promise<void>) {
    this.#write = write;
  }

  add(line: string): void {
    if (this.#bytes + line.length > queueBytesLimit) {
      this.lost++;
      return;
    }
    this.#waiting.push(line);
    this.#bytes += line.length;
    this.#draining ??= this.#drain().finally(() => (this.#draining = undefined));
  }

  async idle(): Promise<void> {
    await this.#draining;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      try {
        await this.#write(lines.join(''));
      } catch {
        // A full disk, a reader that is gone: the next lines try again.
        this.lost += lines.length;
      }
      this.#bytes -= lines.reduce((sum, line) => sum + line.length, 0);
    }
  }
}

/** Opened anew for each write: whoever moves or removes the file loses nothing that comes later. */
function rotatingFile(file: string, fileBytesLimit: number): (text: string) => Promise<void> {
  let size: number | undefined;
  let isCut = false;
  return async (text) => {
    if (size === undefined) {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      size = await stat(file).then(
        (found) => found.size,
        () => 0,
      );
    }
    if (size >= fileBytesLimit) {
      for (let number = formerFilesLimit; number > 0; number--)
        await rename(number === 1 ? file : `${file}.${number - 1}`, `${file}.${number}`).catch(() => undefined);
      size = 0;
    }
    try {
      // Where the last write may have ended in the midst of a line.
      await appendFile(file, isCut ? `\n${text}` : text, { mode: 0o600 });
      isCut = false;
      size += Buffer.byteLength(text);
    } catch (error) {
      isCut = true;
      size = undefined;
      throw error;
    }
  };
}

const write = promisify(writeDescriptor);

/** Not by `process.stderr`, which waits for whoever reads a pipe. */
async function writeToStderr(text: string): Promise<void> {
  let left = Buffer.from(text);
  while (left.length > 0) {
    try {
      const { bytesWritten } = await write(2, left, 0, left.length, null);
      left = left.subarray(bytesWritten);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      await delay(retryMs, undefined, { ref: false });
    }
  }
}
