// All documents, parsed, with the indexes that readers need. Rebuilt by list and watch; nobody else writes to it.
import type { Mac } from '../../protocol/mac.ts';
import { generationLimit } from '../../protocol/roll-call.ts';
import {
  type Collection,
  collections,
  type Documents,
  type InstanceDocument,
  parseDocument,
  type ReceiptDocument,
} from './documents.ts';
import { NodeIndex } from './node-index.ts';
import type { StoredChange, StoredDocument } from './store.ts';

/** Reads by collection and the rest of the key: `get('instances', 'acme/web/web-00000001')`. */
export interface View {
  get<C extends Collection>(collection: C, id: string): Documents[C] | undefined;
  all<C extends Collection>(collection: C): Iterable<[id: string, document: Documents[C]]>;
  /** The key of an instance after `instances/`, by its id. */
  instanceKey(id: string): string | undefined;
  instancesOn(mac: Mac): InstanceDocument[];
  readonly nodeIndex: NodeIndex;
}

/** A document that was put or, without `after`, removed. */
export type DocumentChange = {
  [C in Collection]: {
    collection: C;
    id: string;
    before: Documents[C] | undefined;
    after: Documents[C] | undefined;
    revision: number;
  };
}[Collection];

type Tables = { [C in Collection]: Map<string, Documents[C]> };

export class Cache implements View {
  readonly nodeIndex = new NodeIndex();
  readonly #tables: Tables = {
    nodes: new Map(),
    sessions: new Map(),
    leases: new Map(),
    customers: new Map(),
    workloads: new Map(),
    histories: new Map(),
    instances: new Map(),
    configurations: new Map(),
    images: new Map(),
    orders: new Map(),
    kill: new Map(),
    receipts: new Map(),
    escalations: new Map(),
    operators: new Map(),
    approvals: new Map(),
    drills: new Map(),
    'drill-schedule': new Map(),
    counters: new Map(),
  };
  readonly #revisions = new Map<string, number>();
  readonly #instanceKeys = new Map<string, string>();
  readonly #byNode = new Map<Mac, Map<string, InstanceDocument>>();
  readonly #byCustomer = new Map<string, Map<string, InstanceDocument>>();
  readonly #receipts = new Map<number, Map<Mac, ReceiptDocument>>();
  readonly #generations = new Map<Mac, bigint>();
  /** What is added for nodes that had applied more than this store ever counted. */
  readonly #ahead = new Map<Mac, bigint>();
  #firstGeneration = 0n;

  /** Throws on a document that its schema refuses: the database was changed by hand, or by a fault of ours. */
  load(documents: StoredDocument[], revision: number): void {
    for (const { key, value, revision: written } of documents) this.#set(key, { value, revision: written });
    this.startGenerations(revision);
  }

  /** The generation of every node from now on, until something that it is told changes. */
  startGenerations(revision: number): void {
    this.#generations.clear();
    this.#firstGeneration = BigInt(revision);
  }

  /** Returns what changed; generations of the nodes that it touches are on when it returns. */
  apply(changes: StoredChange[]): DocumentChange[] {
    return changes.map(({ key, value, revision }) => {
      const change = this.#set(key, { value, revision });
      this.#advance(change);
      return change;
    });
  }

  get<C extends Collection>(collection: C, id: string): Documents[C] | undefined {
    return this.#tables[collection].get(id);
  }

  all<C extends Collection>(collection: C): Map<string, Documents[C]> {
    return this.#tables[collection];
  }

  /** 0 where there is none. */
  revision(collection: Collection, id: string): number {
    return this.#revisions.get(`${collection}/${id}`) ?? 0;
  }

  instanceKey(id: string): string | undefined {
    return this.#instanceKeys.get(id);
  }

  instancesOn(mac: Mac): InstanceDocument[] {
    return [...(this.#byNode.get(mac)?.values() ?? [])];
  }

  instancesOf(customer: string, workload?: string): InstanceDocument[] {
    const all = [...(this.#byCustomer.get(customer)?.values() ?? [])];
    return workload === undefined ? all : all.filter((instance) => instance.workload === workload);
  }

  /** In the order in which they came in. */
  receipts(number: number): ReceiptDocument[] {
    return [...(this.#receipts.get(number)?.values() ?? [])];
  }

  hasReceipt(number: number, mac: Mac): boolean {
    return this.#receipts.get(number)?.has(mac) === true;
  }

  generation(mac: Mac): bigint {
    return (this.#generations.get(mac) ?? this.#firstGeneration) + (this.#ahead.get(mac) ?? 0n);
  }

  /** A node that has applied a later generation than its own had it before a backup was put back: count on from there. */
  outrun(mac: Mac, applied: bigint): void {
    const missing = applied - this.generation(mac);
    if (missing > 0n && applied < generationLimit) this.#ahead.set(mac, (this.#ahead.get(mac) ?? 0n) + missing + 1n);
  }

  #set(key: string, { value, revision }: { value: unknown; revision: number }): DocumentChange {
    const slash = key.indexOf('/');
    const collection = collections.find((each) => each === key.slice(0, slash));
    if (collection === undefined) throw new Error(`cannot read ${key}: want one of ${collections.join(', ')}`);
    const id = key.slice(slash + 1);
    if (value === undefined) this.#revisions.delete(key);
    else this.#revisions.set(key, revision);
    return this.#replace(collection, { id, value, revision });
  }

  #replace<C extends Collection>(
    collection: C,
    { id, value, revision }: { id: string; value: unknown; revision: number },
  ): DocumentChange {
    const table: Map<string, Documents[C]> = this.#tables[collection];
    const before = table.get(id);
    const after = value === undefined ? undefined : parseDocument(collection, { id, value });
    if (after === undefined) table.delete(id);
    else table.set(id, after);
    const change = { collection, id, before, after, revision } as DocumentChange; // the union's members are tied by C
    if (change.collection === 'nodes') this.nodeIndex.replace(change.before, change.after);
    if (change.collection === 'instances') this.#index(change);
    if (change.collection === 'receipts') this.#indexReceipt(change);
    return change;
  }

  #index({ id, before, after }: DocumentChange & { collection: 'instances' }): void {
    if (before !== undefined) {
      this.#instanceKeys.delete(before.id);
      removeFrom(this.#byNode, { key: before.node, id: before.id });
      removeFrom(this.#byCustomer, { key: before.customer, id: before.id });
    }
    if (after !== undefined) {
      this.#instanceKeys.set(after.id, id);
      groupOf(this.#byNode, after.node).set(after.id, after);
      groupOf(this.#byCustomer, after.customer).set(after.id, after);
    }
  }

  #indexReceipt({ before, after }: DocumentChange & { collection: 'receipts' }): void {
    if (before !== undefined && after === undefined) {
      const group = this.#receipts.get(before.number);
      if (group?.delete(before.mac) === true && group.size === 0) this.#receipts.delete(before.number);
    }
    if (after === undefined) return;
    const group = this.#receipts.get(after.number) ?? new Map<Mac, ReceiptDocument>();
    this.#receipts.set(after.number, group.set(after.mac, after));
  }

  /** `desired` and `permitted` of these nodes may read otherwise now. */
  #advance(change: DocumentChange): void {
    const generation = BigInt(change.revision);
    for (const mac of this.#touched(change)) if (this.#tables.nodes.has(mac)) this.#generations.set(mac, generation);
    // Anybody on the segment can invent boards: nothing may be left of those that made room for others.
    if (change.collection !== 'nodes' || change.after !== undefined) return;
    this.#generations.delete(change.id);
    this.#ahead.delete(change.id);
  }

  #touched(change: DocumentChange): Iterable<Mac> {
    switch (change.collection) {
      case 'instances': {
        const { before, after } = change;
        // What a node reports of an instance does not change what it is told.
        if (before !== undefined && after !== undefined && before.node === after.node) return [];
        return [before, after].flatMap((instance) => (instance === undefined ? [] : [instance.node]));
      }
      case 'customers':
        return this.instancesOf(change.id).map(({ node }) => node);
      case 'kill':
        if (change.id === '*') return this.#byNode.keys();
        return this.instancesOf(change.id).map(({ node }) => node);
      case 'nodes':
        return change.before?.fenced === change.after?.fenced ? [] : [change.id];
      default:
        return [];
    }
  }
}

type InstanceIndex = Map<string, Map<string, InstanceDocument>>;

function groupOf(index: InstanceIndex, key: string): Map<string, InstanceDocument> {
  const known = index.get(key);
  if (known !== undefined) return known;
  const group = new Map<string, InstanceDocument>();
  index.set(key, group);
  return group;
}

function removeFrom(index: InstanceIndex, { key, id }: { key: string; id: string }): void {
  const group = index.get(key);
  if (group?.delete(id) === true && group.size === 0) index.delete(key);
}
