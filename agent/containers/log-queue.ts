// What containers print, on its way to the controller. A container writes to a file in its own capped tmpfs, opened for
// appending: it never blocks on us, gets no SIGPIPE when the agent dies, and a flood costs its own memory limit. The agent
// reads the files a few times a second, at most so much of each, and cuts them when they have been read.
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs';

export const lineLimitCharacters = 4_096;
const linesLimit = 2_000;
const linesPerInstanceLimit = 500;
const readBytesPerPoll = 65_536;
const cutAfterBytes = 262_144;

export interface RuntimeLogLine {
  /** `performance.now()` of this process, ms. */
  at: number;
  instance: string;
  stream: 'stdout' | 'stderr' | 'muster';
  /** At most 4096 characters. */
  text: string;
}

/** Bounded for all and for each instance: one that floods loses its own lines, and is told how many. */
export class LogQueue {
  #lines: RuntimeLogLine[] = [];
  readonly #waiting = new Map<string, number>();
  readonly #lost = new Map<string, { lines: number; bytes: number }>();

  push(line: RuntimeLogLine): void {
    const waiting = this.#waiting.get(line.instance) ?? 0;
    if (this.#lines.length >= linesLimit || waiting >= linesPerInstanceLimit) this.lose(line.instance, { lines: 1 });
    else {
      this.#waiting.set(line.instance, waiting + 1);
      this.#lines.push(line);
    }
  }

  lose(instance: string, { lines = 0, bytes = 0 }: { lines?: number; bytes?: number }): void {
    const lost = this.#lost.get(instance) ?? { lines: 0, bytes: 0 };
    this.#lost.set(instance, { lines: lost.lines + lines, bytes: lost.bytes + bytes });
  }

  take(limit: number, now: number): RuntimeLogLine[] {
    const notices = [...this.#lost].slice(0, Math.max(0, limit)).map(([instance, { lines, bytes }]) => {
      this.#lost.delete(instance);
      const what = [lines > 0 ? `${lines} lines` : '', bytes > 0 ? `${bytes} bytes` : ''].filter((part) => part !== '');
      return {
        at: now,
        instance,
        stream: 'muster' as const,
        text: `${what.join(' and ')} dropped: it prints faster than the node passes on`,
      };
    });
    const taken = this.#lines.splice(0, Math.max(0, limit - notices.length));
    for (const { instance } of taken) {
      const left = (this.#waiting.get(instance) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(instance);
      else this.#waiting.set(instance, left);
    }
    return [...taken, ...notices];
  }
}

/** Bytes in, whole lines out: control characters but the tab are taken away, a longer line is cut into several. */
export class LineSplitter {
  #rest = '';
  readonly #decoder = new TextDecoder();

  push(bytes: Uint8Array): string[] {
    const parts = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#rest = parts.pop() ?? '';
    const lines = parts.flatMap(pieces);
    if (this.#rest.length >= lineLimitCharacters) {
      const cut = pieces(this.#rest);
      this.#rest = cut.pop() ?? '';
      lines.push(...cut);
    }
    return lines;
  }

  /** What came after the last end of a line. */
  flush(): string[] {
    const rest = this.#rest;
    this.#rest = '';
    return rest === '' ? [] : pieces(rest);
  }
}

function pieces(line: string): string[] {
  // eslint-disable-next-line no-control-regex
  const text = line.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '');
  const all: string[] = [];
  for (let at = 0; at < text.length || at === 0; at += lineLimitCharacters)
    all.push(text.slice(at, at + lineLimitCharacters));
  return all;
}

/** One for all: a poll is done with it when it returns. */
const buffer = Buffer.allocUnsafe(readBytesPerPoll);

/** The agent's end of one stream's file. */
export class LogTail {
  readonly name: 'stdout' | 'stderr';
  readonly #fd: number;
  readonly #splitter = new LineSplitter();
  readonly #emit: (text: string) => void;
  readonly #lost: (bytes: number) => void;
  offset: number;

  constructor(
    file: string,
    options: {
      name: 'stdout' | 'stderr';
      offset: number;
      emit: (text: string) => void;
      lost: (bytes: number) => void;
    },
  ) {
    this.name = options.name;
    this.#fd = openSync(file, constants.O_RDWR);
    this.offset = options.offset;
    this.#emit = options.emit;
    this.#lost = options.lost;
  }

  /** Reads what is new, at most 64 KiB; skips what is more. Cheap: one fstat where nothing is new. Says whether anything was. */
  poll(): boolean {
    const { size } = fstatSync(this.#fd);
    // The container may cut the file itself: it can open its own /dev/stdout.
    if (size < this.offset) this.offset = 0;
    if (size === this.offset) return false;
    const count = readSync(this.#fd, buffer, 0, buffer.length, this.offset);
    this.offset += count;
    for (const line of this.#splitter.push(buffer.subarray(0, count))) this.#emit(line);
    if (this.offset >= cutAfterBytes || size - this.offset >= cutAfterBytes) {
      // Between this fstat and the cut a line may get lost; once in 256 KiB that is cheaper than a lock.
      const skipped = Math.max(0, fstatSync(this.#fd).size - this.offset);
      ftruncateSync(this.#fd, 0);
      this.offset = 0;
      if (skipped > 0) this.#lost(skipped);
    }
    return true;
  }

  /** Reads to the end (the file is capped), tells an unfinished last line, and closes. */
  finish(): void {
    for (let polls = 0; polls < 64 && this.poll(); polls++);
    for (const line of this.#splitter.flush()) this.#emit(line);
    closeSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
