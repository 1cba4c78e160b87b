// The audited documents as they were at one moment, for a look that takes many turns. A full rack has some 35,000 of them:
// instead of a copy, what they were before a change is noted from that moment on.
import { liftedLimit } from '../orders/orders.ts';
import type { Cache, DocumentChange } from '../store/cache.ts';
import type { Documents } from '../store/documents.ts';
import type { Audited } from './entries.ts';

type Collection = Audited['collection'];
const collections: readonly Collection[] = ['orders', 'receipts', 'escalations', 'drills'];

export class DocumentsThen implements Disposable {
  /** Orders below this number may have been forgotten; 0 where none was. */
  readonly forgottenBelow: number;
  readonly #cache: Cache;
  /** Documents that were changed since as they were, undefined where there was none. */
  readonly #before: { [C in Collection]: Map<string, Documents[C] | undefined> } = {
    orders: new Map(),
    receipts: new Map(),
    escalations: new Map(),
    drills: new Map(),
  };
  readonly #onDispose: () => void;

  constructor(cache: Cache, onDispose: () => void) {
    this.#cache = cache;
    this.#onDispose = onDispose;
    const lifted = [...cache.all('orders').values()].flatMap(({ number, liftedAt }) =>
      liftedAt === null ? [] : [number],
    );
    this.forgottenBelow = lifted.length < liftedLimit ? 0 : Math.min(...lifted);
  }

  /** Of each change from then on, when it is in the cache. */
  note({ collection: changed, id, before }: DocumentChange): void {
    const collection = collections.find((each) => each === changed);
    if (collection === undefined) return;
    const known: Map<string, unknown> = this.#before[collection];
    if (!known.has(id)) known.set(id, before);
  }

  get<C extends Collection>(collection: C, id: string): Documents[C] | undefined {
    const before: Map<string, Documents[C] | undefined> = this.#before[collection];
    return before.has(id) ? before.get(id) : this.#cache.get(collection, id);
  }

  /** Changes may come while it is gone through; then one of them may come twice. */
  *all(): Iterable<Audited> {
    for (const collection of collections) {
      const before = this.#before[collection];
      for (const [id, document] of this.#cache.all(collection))
        if (!before.has(id)) yield { collection, document } as Audited; // the table of this very collection
      for (const document of before.values()) if (document !== undefined) yield { collection, document } as Audited;
    }
  }

  [Symbol.dispose](): void {
    this.#onDispose();
  }
}
