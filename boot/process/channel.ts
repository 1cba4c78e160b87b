// What controller and boot process say to one another: JSON documents, a line each, over a pair of sockets. Node's own
// channel between processes reads lines of any length, as fast as they come; the boot process talks to whoever has a
// cable, so its controller believes it no more than that.
import type { Duplex } from 'node:stream';
import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/value';

export interface Channel<Out> {
  /** Whether the other end does not keep up: what can wait should. */
  readonly isFull: boolean;
  send(message: Out): void;
  /** Nothing more is heard or said. */
  close(): void;
}

export interface ChannelOptions<In extends TSchema> {
  /** What the other end may say. */
  schema: In;
  /** Longest line; and all together within a second. */
  bytesLimit: { line: number; second: number };
  /** In ms, from any moment on. */
  now: () => number;
  heard(message: Static<In>): void;
  /** Once, when the other end closed it, or said what it may not. The channel is closed then. */
  ended(why: string): void;
}

/** What may wait for the other end to read. */
const unreadBytesLimit = 8 * 2 ** 20;
const fullBytes = 2 ** 20;

export function openChannel<In extends TSchema, Out extends object>(
  stream: Duplex,
  options: ChannelOptions<In>,
): Channel<Out> {
  let pending = '';
  let second = { began: options.now(), bytes: 0 };
  let isEnded = false;

  function end(why: string): void {
    if (isEnded) return;
    isEnded = true;
    stream.destroy();
    options.ended(why);
  }

  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const now = options.now();
    if (now - second.began >= 1_000) second = { began: now, bytes: 0 };
    second.bytes += chunk.length;
    if (second.bytes > options.bytesLimit.second)
      return end(`said more than ${options.bytesLimit.second} bytes a second`);
    const lines = (pending + chunk).split('\n');
    pending = lines.pop() ?? '';
    if (pending.length > options.bytesLimit.line)
      return end(`said a line of more than ${options.bytesLimit.line} bytes`);
    for (const line of lines) if (!isEnded) read(line);
  });
  // The other end is gone amid what it was told: why, its own end says.
  stream.on('error', () => end('closed'));
  stream.on('close', () => end('closed'));

  function read(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      return end(`said what is no JSON: ${line.slice(0, 100)}`);
    }
    if (!Check(options.schema, message)) return end(`said what it may not: ${line.slice(0, 100)}`);
    options.heard(message);
  }

  return {
    get isFull() {
      return stream.writableLength > fullBytes;
    },
    send: (message) => {
      if (isEnded) return;
      stream.write(`${JSON.stringify(message)}\n`);
      if (stream.writableLength > unreadBytesLimit) end('does not read what it is told');
    },
    close: () => {
      isEnded = true;
      stream.destroy();
    },
  };
}
