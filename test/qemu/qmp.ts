// The part of QEMU's machine protocol that we use: one JSON object a line, each command answered in order, events between.
import type { Duplex } from 'node:stream';
import { createInterface } from 'node:readline';

/** `atMs`: when it came in, on the clock of `performance.now()`. */
export type QmpEvent = { event: string; data: unknown; atMs: number };

const answerLimitMs = 10_000;

export class Qmp {
  readonly #stream: Duplex;
  readonly #onEvent: (event: QmpEvent) => void;
  readonly #waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];
  #ended: Error | undefined;

  constructor(stream: Duplex, onEvent: (event: QmpEvent) => void) {
    this.#stream = stream;
    this.#onEvent = onEvent;
    const lines = createInterface({ input: stream });
    lines.on('line', (line) => this.#take(line));
    lines.on('close', () => this.#fail(new Error('QEMU closed its machine protocol')));
    // A QEMU that dies with a command unread resets the connection. Readline hands its input's errors on as its own, and
    // one without a listener would end the process.
    lines.on('error', (error) => this.#fail(error));
    stream.on('error', (error) => this.#fail(error));
  }

  /** Leaves capability negotiation, without which QEMU refuses every other command. */
  async open(): Promise<void> {
    await this.run('qmp_capabilities');
  }

  async run(execute: string, args: Record<string, unknown> = {}): Promise<unknown> {
    if (this.#ended !== undefined) throw this.#ended;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.push({ resolve, reject });
    this.#stream.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const timer = setTimeout(() => reject(new Error(`QEMU did not answer ${execute} in 10 s`)), answerLimitMs);
    return promise.finally(() => clearTimeout(timer));
  }

  #take(line: string): void {
    const message: unknown = JSON.parse(line);
    if (typeof message !== 'object' || message === null || 'QMP' in message) return;
    if ('event' in message) {
      const data = 'data' in message ? message.data : undefined;
      this.#onEvent({ event: String(message.event), data, atMs: performance.now() });
    } else if ('return' in message) {
      this.#waiting.shift()?.resolve(message.return);
    } else {
      this.#waiting.shift()?.reject(new Error(`QEMU refused: ${line}`));
    }
  }

  #fail(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
