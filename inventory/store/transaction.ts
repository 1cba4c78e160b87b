// A view of what will be once the writes collected so far are stored. Decisions read and write it; it is thrown away
// when its decision is refused, or becomes one transaction.
import {
  type Collection,
  type Documents,
  type InstanceDocument,
  type NodeDocument,
  parseDocument,
} from './documents.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { View } from './cache.ts';
import { NodeIndex } from './node-index.ts';

export interface NewEvent {
  kind: string;
  subject: string;
  message: string;
}

/** Undefined where the document is removed. */
interface Written {
  collection: Collection;
  id: string;
  value: unknown;
}

export class Transaction implements View {
  readonly #base: View;
  readonly #writes = new Map<Collection, Map<string, unknown>>();
  readonly #instanceKeys = new Map<string, string | undefined>();
  readonly nodeIndex: NodeIndex;
  readonly events: NewEvent[] = [];
  /** Who asked, as its events tell; nobody where the controller acts by itself. */
  by: string | undefined;

  constructor(base: View) {
    this.#base = base;
    this.nodeIndex = new NodeIndex(base.nodeIndex);
  }

  get<C extends Collection>(collection: C, id: string): Documents[C] | undefined {
    const written = this.#writes.get(collection);
    if (written?.has(id) !== true) return this.#base.get(collection, id);
    return written.get(id) as Documents[C] | undefined; // put() took it as such
  }

  *all<C extends Collection>(collection: C): Iterable<[id: string, document: Documents[C]]> {
    const written = this.#writes.get(collection);
    for (const entry of this.#base.all(collection)) if (written?.has(entry[0]) !== true) yield entry;
    for (const id of written?.keys() ?? []) {
      const document = this.get(collection, id);
      if (document !== undefined) yield [id, document];
    }
  }

  instanceKey(id: string): string | undefined {
    return this.#instanceKeys.has(id) ? this.#instanceKeys.get(id) : this.#base.instanceKey(id);
  }

  instancesOn(mac: Mac): InstanceDocument[] {
    const untouched = this.#base.instancesOn(mac).filter(({ id }) => !this.#instanceKeys.has(id));
    const written = [...this.#instanceKeys.values()].flatMap((key) =>
      key === undefined ? [] : (this.get('instances', key) ?? []),
    );
    return [...untouched, ...written.filter(({ node }) => node === mac)];
  }

  /** Throws on a document that could not be read again: it must not get to disk. */
  // oxlint-disable-next-line max-params -- as a store has it: where, then what
  put<C extends Collection>(collection: C, id: string, document: Documents[C]): void {
    this.#write({ collection, id, value: parseDocument(collection, { id, value: document }) });
  }

  remove(collection: Collection, id: string): void {
    this.#write({ collection, id, value: undefined });
  }

  // oxlint-disable-next-line max-params -- in the order in which an event is read
  event(kind: string, subject: string, message: string): void {
    this.events.push({ kind, subject, message: this.by === undefined ? message : `${message} (by ${this.by})` });
  }

  /** The next number of a counter, never given again once it is stored. Counters: see `CounterDocument`. */
  count(name: string): number {
    const value = (this.get('counters', name)?.value ?? 0) + 1;
    this.put('counters', name, { value });
    return value;
  }

  get isEmpty(): boolean {
    return this.#writes.size === 0;
  }

  *writes(): Iterable<Written> {
    for (const [collection, written] of this.#writes)
      for (const [id, value] of written) yield { collection, id, value };
  }

  /** Takes over what a decision wrote. */
  merge(other: Transaction): void {
    for (const written of other.writes()) this.#write(written);
    this.events.push(...other.events);
  }

  #write({ collection, id, value }: Written): void {
    if (collection === 'nodes') this.nodeIndex.replace(this.get('nodes', id), value as NodeDocument | undefined); // C is 'nodes'
    const written = this.#writes.get(collection);
    if (written === undefined) this.#writes.set(collection, new Map([[id, value]]));
    else written.set(id, value);
    if (collection === 'instances')
      this.#instanceKeys.set(id.slice(id.lastIndexOf('/') + 1), value === undefined ? undefined : id);
  }
}
