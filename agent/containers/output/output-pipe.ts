// The agent's end of what a container prints. A stream is a named pipe of the instance, owned by the container's user, so that
// whoever opens /dev/stdout or /proc/1/fd/1 writes into the same pipe, and nothing that is in it can be cut off.
//
//   container ─► pipe, 64 KiB ─► lines, one read's ─► LogQueue ─► controller
//
// crun and the container have it open for reading, too: so it outlives the agent with what is in it, no process gets SIGPIPE, and
// the next agent opens it by its name and goes on (docs/decisions/0015). What is not read slows its writer.
// Where the queue has no room a stream waits for some seconds; then it is read on, so that no service stands still for its log
// while the controller is away, and what is read is lost and counted.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { cleanLine, LineSplitter } from './line-splitter.ts';
import type { LogQueue } from './log-queue.ts';
import type { ReadBudget } from './read-budget.ts';

export const outputStreams = ['stdout', 'stderr'] as const;
export type OutputStream = (typeof outputStreams)[number];

export interface OutputPipeOptions {
  /** The pipe's name on the node. */
  file: string;
  instance: string;
  stream: OutputStream;
  queue: LogQueue;
  budget: ReadBudget;
}

const readBytes = 16_384;
const usualPipeBytes = 65_536;
/** As large as a process without privileges may make a pipe. */
const pipeLimitBytes = 1 << 20;
const holdMs = 2_500;
const retryMs = 50;
/** Of what is left at an exit, these come first: they say why. */
const lastLines = 50;
/** One for all: a read is done with it when it returns. */
const buffer = Buffer.allocUnsafe(readBytes);

export class OutputPipe {
  readonly #options: OutputPipeOptions;
  readonly #splitter = new LineSplitter();
  readonly #socket: Socket;
  #lastLine = '';
  #pending: string[] = [];
  #fullSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** Opens the pipe, of which somebody must have the other end open when this turn of the event loop is over. */
  constructor(options: OutputPipeOptions) {
    this.#options = options;
    const fd = openSync(options.file, constants.O_RDONLY | constants.O_NONBLOCK);
    this.#socket = new Socket({
      fd,
      writable: false,
      onread: {
        buffer,
        callback: (count) => {
          this.#take(buffer.subarray(0, count));
          return false;
        },
      },
    });
    // Its end is the container's, which crun tells.
    this.#socket.on('error', () => undefined);
    this.#socket.unref();
  }

  /** For the container: close it when it is started. */
  static openForContainer(file: string): number {
    return openSync(file, 'r+');
  }

  /** What came last, as it came. */
  get lastLine(): string {
    return this.#lastLine;
  }

  /** What is still in it, when no process of the container is left. */
  finish(): void {
    if (this.#isClosed) return;
    const left = drained(this.#options.file);
    // A pipe that its container has made larger is read to its end as well, but only that is made into lines.
    const skipped = Math.max(0, left.length - usualPipeBytes);
    if (skipped > 0) {
      this.#lose({ bytes: skipped });
      this.#splitter.tear();
    }
    this.#hear(this.#splitter.push(left.subarray(skipped)));
    const excess = this.#pending.length - lastLines;
    if (excess > 0) {
      this.#deliver();
      if (!this.#hasRoom()) this.#lose({ lines: this.#pending.splice(0, this.#pending.length - lastLines).length });
    }
    this.close();
  }

  /** Leaves what is in it to the next agent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket.destroy();
    this.#hear(this.#splitter.flush());
    this.#deliver(lastLines);
    if (this.#pending.length > 0) this.#lose({ lines: this.#pending.length });
  }

  #take(bytes: Buffer): void {
    const rest = this.#options.budget.restAfter(bytes.length, performance.now());
    if (this.#isDropping()) {
      this.#lose({ bytes: bytes.length });
      this.#splitter.tear();
    } else this.#hear(this.#splitter.push(bytes));
    this.#next(rest);
  }

  #hear(lines: string[]): void {
    this.#lastLine = lines.at(-1) ?? this.#lastLine;
    this.#pending.push(...lines);
  }

  #next(waitMs: number): void {
    this.#deliver();
    if (this.#pending.length > 0 && this.#isDropping()) {
      this.#lose({ lines: this.#pending.length });
      this.#pending = [];
    }
    if (this.#isClosed) return;
    const isHeld = this.#pending.length > 0;
    this.#timer = setTimeout(() => (isHeld ? this.#next(0) : this.#socket.resume()), isHeld ? retryMs : waitMs);
    this.#timer.unref();
  }

  #deliver(beyond = 0): void {
    const { instance, stream, queue } = this.#options;
    let sent = 0;
    for (; sent < this.#pending.length && queue.hasRoom(instance, beyond); sent++)
      for (const text of cleanLine(this.#pending[sent] ?? ''))
        queue.push({ at: performance.now(), instance, stream, text }, beyond);
    this.#pending.splice(0, sent);
    if (this.#pending.length === 0 && this.#hasRoom()) this.#fullSince = undefined;
    else this.#fullSince ??= performance.now();
  }

  #hasRoom(): boolean {
    return this.#options.queue.hasRoom(this.#options.instance);
  }

  #isDropping(): boolean {
    return !this.#hasRoom() && this.#fullSince !== undefined && performance.now() - this.#fullSince > holdMs;
  }

  #lose(lost: { lines?: number; bytes?: number }): void {
    this.#options.queue.lose(this.#options.instance, { ...lost, at: performance.now() });
  }
}

/** Whatever is in the pipe now. */
function drained(file: string): Buffer {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const parts: Buffer[] = [];
  try {
    for (let bytes = 0; bytes < pipeLimitBytes;) {
      const part = Buffer.allocUnsafe(usualPipeBytes);
      const count = readSync(fd, part);
      if (count === 0) break;
      bytes += count;
      parts.push(part.subarray(0, count));
    }
  } catch (error) {
    // A process that dies hard may still have it open.
    if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
  } finally {
    closeSync(fd);
  }
  return Buffer.concat(parts);
}
