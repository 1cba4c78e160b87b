// When the first permit that follows a standing order left for each node, in memory only: a receipt takes it to disk.
import type { Mac } from '../../protocol/mac.ts';
import type { DocumentChange } from '../store/cache.ts';

export class SentTimes {
  readonly #byOrder = new Map<number, Map<Mac, number>>();

  note({ number, mac, afterMs }: { number: number; mac: Mac; afterMs: number }): void {
    const times = this.#byOrder.get(number);
    if (times === undefined) this.#byOrder.set(number, new Map([[mac, afterMs]]));
    else if (!times.has(mac)) times.set(mac, afterMs);
  }

  get(number: number, mac: Mac): number | null {
    return this.#byOrder.get(number)?.get(mac) ?? null;
  }

  /** What a receipt holds, and what nobody can ask for any more, is forgotten. */
  apply(change: DocumentChange): void {
    if (change.collection === 'orders' && change.after === undefined) this.#byOrder.delete(Number(change.id));
    if (change.collection === 'receipts' && change.after !== undefined)
      this.#byOrder.get(change.after.number)?.delete(change.after.mac);
  }
}
