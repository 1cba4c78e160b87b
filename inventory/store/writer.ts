// The one writer. Decisions that are asked for while a transaction is on its way to disk are taken together next, each
// seeing what those before it decided, and stored in one transaction. So nothing is given twice, and 684 boards that
// boot at once cost a few disk flushes.
import { type DiskReserve, isFull } from './disk-reserve.ts';
import type { Cache } from './cache.ts';
import { type NewEvent, Transaction } from './transaction.ts';
import { ConflictError, type Store, StorageError, type Write } from './store.ts';

export type Decide<T> = (transaction: Transaction) => T;
/** `Writer.transact` as the books use it. `by`: who asked, for the events. */
export type Transact = <T>(decide: Decide<T>, by?: string) => Promise<T>;

const queueLimit = 20_000;
const batchLimit = 1_000;
/** Another controller on the same store may win a race; then the batch is decided again on what it wrote. */
const attemptLimit = 5;

export interface TransactOptions {
  /** It makes things safer: stored also where the disk has no room but the reserve. False when left out. */
  mayUseReserve?: boolean;
}

interface Waiting {
  /** Adds its decision to the batch; returns what settles the caller once the transaction is on disk. */
  decide: (batch: Transaction) => () => void;
  reject: (error: unknown) => void;
}

export class Writer {
  readonly #store: Store;
  readonly #cache: Cache;
  readonly #onEvents: (events: NewEvent[]) => void;
  readonly #reserve: DiskReserve | undefined;
  #queue: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(options: {
    store: Store;
    cache: Cache;
    onEvents: (events: NewEvent[]) => void;
    reserve: DiskReserve | undefined;
  }) {
    this.#store = options.store;
    this.#cache = options.cache;
    this.#onEvents = options.onEvents;
    this.#reserve = options.reserve;
  }

  /** Resolves with the decision's value when its writes are on disk and in memory. Rejects with StorageError. */
  transact<T>(decide: Decide<T>, { mayUseReserve = false }: TransactOptions = {}): Promise<T> {
    if (this.#queue.length >= queueLimit)
      return Promise.reject(new StorageError(`cannot store: ${queueLimit} changes are waiting for the disk already`));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({
        decide: (batch) => {
          const transaction = new Transaction(batch);
          const value = decide(transaction);
          const refusal = mayUseReserve || transaction.isEmpty ? undefined : this.#reserve?.refusal();
          if (refusal !== undefined) throw refusal;
          batch.merge(transaction);
          return () => resolve(value);
        },
        reject,
      });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    // Whoever asks within the same turn of the event loop shares the flush.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, batchLimit);
      try {
        for (const settle of await this.#commit(batch)) settle();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = undefined;
  }

  async #commit(batch: Waiting[]): Promise<(() => void)[]> {
    let wasFull = false;
    for (let attempt = 1; ; attempt++) {
      const transaction = new Transaction(this.#cache);
      const settlements = batch.map(({ decide, reject }) => {
        try {
          return decide(transaction);
        } catch (fault) {
          return () => reject(fault);
        }
      });
      const writes: Write[] = Array.from(transaction.writes(), ({ collection, id, value }) => ({
        key: `${collection}/${id}`,
        value,
        expected: this.#cache.revision(collection, id),
      })).filter(({ value, expected }) => value !== undefined || expected !== 0);
      try {
        if (writes.length > 0) await this.#store.transact(writes);
        this.#onEvents(transaction.events);
        return settlements;
      } catch (error) {
        if (isFull(error) && this.#reserve !== undefined && !wasFull) {
          // Decided again: without what may not use the reserve.
          wasFull = true;
          await this.#reserve.release();
          continue;
        }
        if (!(error instanceof ConflictError) || attempt === attemptLimit) throw error;
      }
    }
  }
}
