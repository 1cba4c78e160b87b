// Time that passes only when somebody waits for it: a queue of what happens when, and the story of what happened.
//
// Between two entries every promise that can go on has gone on, so a run depends on nothing but its seed.
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

interface Entry {
  at: number;
  /** Of entries at one instant the one that was entered first comes first. */
  order: number;
  run: () => void;
}

/** The process's own event loop turns once in so many entries, so that signals and test runners get their turn. */
const entriesPerTurn = 20_000;

export class Timeline {
  /** Ms since the start of the run. */
  now = 0;
  entries = 0;
  readonly #heap: Entry[] = [];
  #order = 0;
  readonly #hash = createHash('sha256');
  readonly #onLine: ((line: string) => void) | undefined;

  constructor(onLine: ((line: string) => void) | undefined) {
    this.#onLine = onLine;
  }

  after(ms: number, run: () => void): void {
    const entry = { at: this.now + Math.max(0, ms), order: this.#order++, run };
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(entry, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  at(instant: number, run: () => void): void {
    this.after(instant - this.now, run);
  }

  /** Everything up to that instant. */
  async runTo(instant: number): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.at <= instant; next = this.#heap[0]) {
      this.#takeFirst();
      this.now = next.at;
      this.entries++;
      next.run();
      await promisesSettled();
      if (this.entries % entriesPerTurn === 0) await nextTurn();
    }
    this.now = Math.max(this.now, instant);
  }

  /** A line of the story. */
  tell(who: string, what: string): void {
    const line = `${(this.now / 1000).toFixed(4).padStart(9)} s  ${who.padEnd(12)} ${what}`;
    this.#hash.update(line);
    this.#onLine?.(line);
  }

  /** Of the whole story so far; the story cannot go on. */
  fingerprint(): string {
    return this.#hash.update(String(this.entries)).digest('hex').slice(0, 16);
  }

  #takeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      let child = heap[left];
      if (child === undefined) break;
      const right = heap[left + 1];
      let smaller = left;
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        smaller = left + 1;
      }
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = smaller;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** `process.nextTick` called from a promise's continuation waits until no continuation is left. */
function promisesSettled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}
