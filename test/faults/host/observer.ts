// Who was alive when, seen from outside: one thread polls the control groups of all customers on all nodes.
import { Worker } from 'node:worker_threads';

export interface Change {
  /** `<node> <customer>` */
  key: string;
  populated: boolean;
  /** When it was seen, ms on `monotonicMs`. */
  atMs: number;
}

/** CLOCK_MONOTONIC in ms: the one clock that orders, answers and observations are timed by. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

type Said = { key: string; populated: boolean; atNs: bigint } | { starvedNs: bigint };

export class Observer implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #end = new Int32Array(new SharedArrayBuffer(4));
  readonly #changes: Change[] = [];
  #failure: Error | undefined;
  /** Longest time between two looks since `forget`, where it was longer than 50 ms. */
  starvedMs = 0;

  constructor(groups: readonly { key: string; events: string }[]) {
    this.#worker = new Worker(new URL('observer-thread.ts', import.meta.url), {
      workerData: { end: this.#end, groups },
    });
    this.#worker.on('message', (said: Said) => {
      if ('starvedNs' in said) this.starvedMs = Math.max(this.starvedMs, Number(said.starvedNs) / 1e6);
      else this.#changes.push({ key: said.key, populated: said.populated, atMs: Number(said.atNs) / 1e6 });
    });
    this.#worker.on('error', (cause) => (this.#failure = new Error('the observer failed', { cause })));
  }

  /** By the last look, at most some milliseconds old. */
  isPopulated(key: string): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#changes.findLast((change) => change.key === key)?.populated === true;
  }

  /** In their order, those at or after a moment. */
  changes(key: string, sinceMs: number): Change[] {
    return this.#changes.filter((change) => change.key === key && change.atMs >= sinceMs);
  }

  /**
   * ms from `sinceMs` until the group was seen empty for good; 0 where it was empty all the time. Undefined while it is
   * not.
   */
  goneAfterMs(key: string, sinceMs: number): number | undefined {
    if (this.isPopulated(key)) return undefined;
    const last = this.#changes.findLast((change) => change.key === key);
    return last === undefined ? 0 : Math.max(0, last.atMs - sinceMs);
  }

  /** Forgets what was before: one run does not need the changes of another. */
  forget(): void {
    const lasts = new Map(this.#changes.map((change) => [change.key, change]));
    this.starvedMs = 0;
    this.#changes.splice(0, this.#changes.length, ...lasts.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    Atomics.store(this.#end, 0, 1);
    Atomics.notify(this.#end, 0);
    await this.#worker.terminate();
  }
}
