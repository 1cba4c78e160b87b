// The controller's log: lines of JSON in a file that rotates, and the same as text on stderr, or only there where systemd's
// journal keeps it. Whoever logs never waits: a line goes into a queue with a bound, and where the disk or the reader of
// stderr takes none, lines are lost and counted, and permits go on.
import { appendFileSync, mkdirSync, write as writeDescriptor } from 'node:fs';
import { appendFile, mkdir, rename, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { printable } from '../../protocol/printable.ts';

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
  /** From now on lines for the file wait in memory while that is so: what room there is, is kept for orders. */
  keepRoom(isFull: () => boolean): void;
}

/** What waits for a slow disk or reader. */
const queueCharactersLimit = 1 << 20;
/** Of a line beside its message. */
const lineOverhead = 100;
const linesPerTurn = 64;
/** Files beside the current one: `controller.log.1` is the newest of them. */
const formerFilesLimit = 4;
/** Of a small disk all files together have no more than one part in so many. */
const diskShare = 16;
const lineCharactersLimit = 4_000;
const flushLimitMs = 1_000;
const retryMs = 100;

/** By syslog's numbers, as the journal reads them before a line. */
const priorities = { info: 6, warn: 4, error: 3 } as const;
const colours = { info: '', warn: '\u001b[33m', error: '\u001b[31m' } as const;

export type TextStyle = 'journal' | 'terminal' | 'plain';

/** One line for a person, with its end. */
export function textOf({ at, level, subject, message, about }: Timed, style: TextStyle): string {
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
  const queues = [new LineQueue({ format: (line) => textOf(line, style), write: errorOutput })];
  const toJson = jsonFormat();
  let isDiskFull: (() => boolean) | undefined;
  if (file !== undefined) {
    const append = rotatingFile(file, fileBytesLimit);
    const write = async (text: string): Promise<void> => {
      while (isDiskFull?.() === true) await delay(retryMs, undefined, { ref: false });
      await append(text);
    };
    queues.push(new LineQueue({ format: toJson, write }));
  }
  return {
    log: (line) => {
      const timed = { ...line, message: line.message.slice(0, lineCharactersLimit), at: now() };
      for (const queue of queues) queue.add(timed);
    },
    lastWords: (line) => {
      if (file === undefined) return;
      try {
        mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
        appendFileSync(file, toJson({ ...line, at: now() }), { mode: 0o600 });
      } catch {
        // What is to be said goes to stderr as well, and may be about this very disk.
      }
    },
    keepRoom: (isFull) => (isDiskFull = isFull),
    lost: () => queues.reduce((sum, { lost }) => sum + lost, 0),
    [Symbol.asyncDispose]: async () => {
      const written = Promise.all(queues.map((queue) => queue.idle()));
      await Promise.race([written, delay(flushLimitMs, undefined, { ref: false })]);
    },
  };
}

type Timed = LogLine & { at: number };

/** A line of JSON by pino. */
function jsonFormat(): (line: Timed) => string {
  let [json, at] = ['', 0];
  const logger = pino(
    {
      base: null,
      messageKey: 'message',
      formatters: { level: (level) => ({ level }) },
      timestamp: () => `,"time":"${new Date(at).toISOString()}"`,
    },
    { write: (line: string) => (json = line) },
  );
  return ({ level, message, at: when, ...rest }) => {
    at = when;
    logger[level](rest, message);
    return json;
  };
}

/** Lines in their order, some at once. What cannot be written is lost. Whoever adds one pays for no more than its place. */
class LineQueue {
  readonly #format: (line: Timed) => string;
  readonly #write: (text: string) => Promise<void>;
  #waiting: Timed[] = [];
  #characters = 0;
  #draining: Promise<void> | undefined;
  lost = 0;

  constructor({ format, write }: { format: (line: Timed) => string; write: (text: string) => Promise<void> }) {
    this.#format = format;
    this.#write = write;
  }

  add(line: Timed): void {
    if (this.#characters > queueCharactersLimit) {
      this.lost++;
      return;
    }
    this.#waiting.push(line);
    this.#characters += line.message.length + lineOverhead;
    this.#draining ??= this.#drain().finally(() => (this.#draining = undefined));
  }

  async idle(): Promise<void> {
    await this.#draining;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      // A rack that acknowledges an order says 684 lines in one turn: they are written in some.
      await nextTurn();
      const lines = this.#waiting.splice(0, linesPerTurn);
      try {
        await this.#write(lines.map(this.#format).join(''));
      } catch {
        // A full disk, a reader that is gone: the next lines try again.
        this.lost += lines.length;
      }
      this.#characters -= lines.reduce((sum, { message }) => sum + message.length + lineOverhead, 0);
    }
  }
}

/** Opened anew for each write: whoever moves or removes the file loses nothing that comes later. */
function rotatingFile(file: string, fileBytesLimit: number): (text: string) => Promise<void> {
  let size: number | undefined;
  let limit = fileBytesLimit;
  let isCut = false;
  return async (text) => {
    if (size === undefined) {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      const disk = await statfs(dirname(file));
      limit = Math.min(fileBytesLimit, (disk.blocks * disk.bsize) / diskShare / (formerFilesLimit + 1));
      size = await stat(file).then(
        (found) => found.size,
        () => 0,
      );
    }
    if (size >= limit) {
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
