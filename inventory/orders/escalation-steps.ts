// Steps of an escalation on their way to disk. Save first, then act, as long as the disk answers: whoever notes a step waits for
// it, but for a bounded time. A disk that takes nothing must not keep the power on: the step counts from memory and is
// tried until it is stored.
import type { EscalationStep } from '../../protocol/api/orders.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { Transact } from '../store/writer.ts';
import type { Cache } from '../store/cache.ts';
import type { UnstoredOrders } from './unstored-orders.ts';
import { decideEscalation, withStep } from './orders.ts';
import { StorageError } from '../store/store.ts';

/** SQLite flushes within some tens of ms. */
const patienceMs = 700;
const retryMs = 1_000;

/** Of one order on one node. */
interface Waiting {
  number: number;
  mac: Mac;
  /** Handed to the disk, and what came since. */
  writing: EscalationStep[];
  steps: EscalationStep[];
  stored: Promise<void>;
}

export interface EscalationStepsOptions {
  cache: Cache;
  unstored: UnstoredOrders;
  transact: Transact;
  pause: (ms: number) => Promise<void>;
  /** It shows otherwise now, and no document changed. */
  onOrder: (number: number) => void;
}

export class EscalationSteps {
  readonly #options: EscalationStepsOptions;
  readonly #waiting = new Map<string, Waiting>();
  #trouble: string | undefined;
  #closed = false;

  constructor(options: EscalationStepsOptions) {
    this.#options = options;
  }

  /** Counts at once. Resolves when it is on disk, or has waited for that long enough. */
  async add({ number, mac, step }: { number: number; mac: Mac; step: EscalationStep }): Promise<void> {
    const key = `${number}/${mac}`;
    const known = this.#waiting.get(key);
    const waiting = known ?? { number, mac, writing: [], steps: [], stored: Promise.resolve() };
    waiting.steps = withStep(waiting.steps, step);
    if (known === undefined) {
      this.#waiting.set(key, waiting);
      waiting.stored = this.#store(waiting, key);
    }
    await Promise.race([waiting.stored, this.#options.pause(patienceMs)]);
  }

  /** Oldest first, with those that are not on disk. */
  of(number: number, mac: Mac): EscalationStep[] {
    const key = `${number}/${mac}`;
    const stored = this.#options.cache.get('escalations', key)?.steps ?? [];
    const waiting = this.#waiting.get(key);
    return waiting === undefined ? stored : [...stored, ...waiting.writing, ...waiting.steps];
  }

  problem(): string | undefined {
    if (this.#trouble === undefined) return undefined;
    return `what was tried on ${this.#waiting.size} nodes that do not acknowledge an order is in memory only: ${this.#trouble}`;
  }

  /** Nothing is tried again. */
  close(): void {
    this.#closed = true;
  }

  async #store(waiting: Waiting, key: string): Promise<void> {
    const { pause, onOrder } = this.#options;
    try {
      while (waiting.steps.length > 0 && !this.#closed) {
        waiting.writing = waiting.steps;
        waiting.steps = [];
        const isDone = await this.#attempt(waiting);
        if (!isDone) waiting.steps = waiting.steps.reduce(withStep, waiting.writing);
        waiting.writing = [];
        if (isDone) continue;
        onOrder(waiting.number);
        await pause(retryMs);
      }
    } finally {
      // In the same turn as the last look at what waits: what comes from now on begins anew.
      this.#waiting.delete(key);
      if (this.#waiting.size === 0) this.#trouble = undefined;
    }
  }

  /** False where it has to be tried again. */
  async #attempt({ number, mac, writing }: Waiting): Promise<boolean> {
    try {
      const isStored = await this.#options.transact((transaction) => {
        for (const step of writing) decideEscalation(transaction, { number, mac, step });
        return transaction.get('orders', String(number)) !== undefined;
      });
      // An order that is not there any more needs no steps; one that waits for the disk itself does.
      return isStored || !this.#isOnItsWay(number);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#trouble = error.message;
      return false;
    }
  }

  #isOnItsWay(number: number): boolean {
    return this.#options.unstored.orders().some((order) => order.number === number);
  }
}
