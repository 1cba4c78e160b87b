// Nodes by name and slot, and those that never joined, so that a new board costs the same whether 6 or 4,000 are known:
// a flood of invented MACs must not keep the process from answering heartbeats. Drafts lay theirs over their base's.
import type { Mac } from '../../protocol/mac.ts';
import type { NodeDocument } from './documents.ts';

export class NodeIndex {
  readonly #base: NodeIndex | undefined;
  readonly #names = new Map<string, Mac | undefined>();
  readonly #slots = new Map<number, Mac | undefined>();
  readonly #arrived = new Set<Mac>();
  readonly #departed = new Set<Mac>();
  #count: number;
  /** No slot below is free. */
  #lowest: number;

  constructor(base?: NodeIndex) {
    this.#base = base;
    this.#count = base?.count ?? 0;
    this.#lowest = base?.lowestFreeSlot() ?? 1;
  }

  get count(): number {
    return this.#count;
  }

  named(name: string): Mac | undefined {
    return this.#names.has(name) ? this.#names.get(name) : this.#base?.named(name);
  }

  inSlot(slot: number): Mac | undefined {
    return this.#slots.has(slot) ? this.#slots.get(slot) : this.#base?.inSlot(slot);
  }

  lowestFreeSlot(): number {
    while (this.inSlot(this.#lowest) !== undefined) this.#lowest++;
    return this.#lowest;
  }

  /** In the order in which they were first seen. */
  *neverJoined(): Iterable<Mac> {
    for (const mac of this.#base?.neverJoined() ?? []) if (!this.#departed.has(mac)) yield mac;
    yield* this.#arrived;
  }

  replace(before: NodeDocument | undefined, after: NodeDocument | undefined): void {
    if (before !== undefined) {
      // Within a transaction its name or slot may have gone to another node already.
      if (this.named(before.name) === before.mac) this.#forget(this.#names, before.name);
      if (this.inSlot(before.slot) === before.mac) {
        this.#forget(this.#slots, before.slot);
        this.#lowest = Math.min(this.#lowest, before.slot);
      }
      this.#count--;
    }
    if (after !== undefined) {
      this.#names.set(after.name, after.mac);
      this.#slots.set(after.slot, after.mac);
      this.#count++;
    }
    const [was, is] = [before !== undefined && before.bootId === null, after !== undefined && after.bootId === null];
    if (was === is) return;
    const mac = before?.mac ?? after?.mac ?? '';
    if (is) this.#arrived.add(mac);
    else if (!this.#arrived.delete(mac) && this.#base !== undefined) this.#departed.add(mac);
  }

  #forget<K>(index: Map<K, Mac | undefined>, key: K): void {
    if (this.#base === undefined) index.delete(key);
    else index.set(key, undefined);
  }
}
