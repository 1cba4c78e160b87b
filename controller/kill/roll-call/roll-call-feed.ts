// Between the inventory and the roll call: tells the roll call what the inventory says, as differences from what it was told
// before, and hands on to the inventory what the roll call heard. The one place where the two meet.
//
// It always tells the present state and never an event, so nothing can be missed for good: a look that came too early or was
// left out is made up for by the next one.
import type { Mac } from '../../../protocol/mac.ts';
import type { PermittedCustomer } from '../../../protocol/roll-call.ts';
import type { OrderDocument } from '../../../inventory/store/documents.ts';
import type { Change } from '../../../inventory/store/changes.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import type { Report, Stopped, Told } from './roll-call-messages.ts';

type ToldNode = Told & { type: 'node' };

interface ToldOrder {
  /** Told as stopped by evidence on disk, and as stopped. */
  stored: Set<Mac>;
  counted: Set<Mac>;
}

export interface RollCallFeedOptions {
  inventory: Inventory;
  /** Never with nothing. */
  tell: (told: Told[]) => void;
  /** A write that failed: the receipt stays unacknowledged and the node will repeat it. */
  onFailure: (error: unknown) => void;
}

export class RollCallFeed {
  readonly #inventory: Inventory;
  readonly #tell: (told: Told[]) => void;
  readonly #onFailure: (error: unknown) => void;
  readonly #nodes = new Map<Mac, ToldNode>();
  readonly #orders = new Map<number, ToldOrder>();
  readonly #givenAt = new Map<number, number>();
  #holding: readonly string[] = [];
  /** What may read otherwise since the last look. */
  readonly #dirty = { nodes: new Set<Mac>(), orders: new Set<number>(), customers: true, all: true };
  #isLookDue = false;

  /** Tells all that there is to tell. */
  constructor({ inventory, tell, onFailure }: RollCallFeedOptions) {
    this.#inventory = inventory;
    this.#tell = tell;
    this.#onFailure = onFailure;
    inventory.subscribe((change) => {
      if (!this.#mark(change) || this.#isLookDue) return;
      this.#isLookDue = true;
      // Once for all changes of a transaction, and before anything else happens.
      queueMicrotask(() => this.look());
    });
    this.look();
  }

  /** An order that was given in this moment: its time counts from now on. */
  given({ number }: OrderDocument, since: number): void {
    for (const known of this.#givenAt.keys()) if (!this.#orders.has(known)) this.#givenAt.delete(known);
    this.#givenAt.set(number, since);
    this.look();
  }

  /** By the monotonic clock; undefined for an order of an earlier process. */
  givenAt(number: number): number | undefined {
    return this.#givenAt.get(number);
  }

  /** Compares all that may have changed, and tells it. */
  look(): void {
    const dirty = this.#dirty;
    this.#isLookDue = false;
    const told: Told[] = [];
    this.#lookAtOrders(told);
    if (dirty.customers) this.#lookAtHolding(told);
    if (dirty.all) for (const { mac } of this.#inventory.nodes.all()) dirty.nodes.add(mac);
    for (const mac of dirty.nodes) this.#lookAtNode(mac, told);
    dirty.nodes.clear();
    dirty.customers = dirty.all = false;
    if (told.length > 0) this.#tell(told);
  }

  heard(report: Report): void {
    const { nodes, orders } = this.#inventory;
    switch (report.type) {
      case 'heard':
        nodes.heartbeat(report.mac, report);
        nodes.generationApplied(report.mac, report.generation);
        // It counts on from there now.
        if (nodes.generation(report.mac) !== this.#nodes.get(report.mac)?.generation) this.#dirty.nodes.add(report.mac);
        return;
      case 'sent':
        return orders.permitSent({ number: report.number, mac: report.mac, afterMs: report.afterMs });
      case 'stopped':
        return this.#stopped(report);
      case 'beacon':
        return nodes.beaconSeen({ ip: report.ip, uuid: report.uuid });
    }
  }

  #mark(change: Change): boolean {
    switch (change.kind) {
      case 'node':
        this.#dirty.nodes.add(change.mac);
        return true;
      case 'instance':
        this.#dirty.nodes.add(change.node);
        return true;
      case 'customer':
        this.#dirty.customers = true;
        for (const { node } of this.#inventory.instances.of(change.name)) this.#dirty.nodes.add(node);
        return true;
      case 'order':
        this.#dirty.orders.add(change.number);
        return true;
      default:
        return false;
    }
  }

  /** First: an order stops whomever it stops before anything is said of a node. */
  #lookAtOrders(told: Told[]): void {
    const standing = new Map(this.#inventory.orders.standing().map((order) => [order.number, order]));
    for (const [number, { scope, targets, at }] of standing) {
      if (this.#orders.has(number)) continue;
      told.push({ type: 'given', order: { number, scope, targets, at, since: this.#givenAt.get(number) } });
      this.#orders.set(number, { stored: new Set(), counted: new Set() });
      this.#dirty.orders.add(number);
      this.#dirty.all = true;
    }
    const lifted = [...this.#orders.keys()].filter((number) => !standing.has(number));
    for (const number of this.#dirty.orders) if (standing.has(number)) this.#lookAtReceipts(number, told);
    // An order that is on disk now, or whose lift is, moves the generations of those that it concerns.
    if (this.#dirty.orders.size > 0)
      for (const { mac, generation } of this.#nodes.values())
        if (this.#inventory.nodes.generation(mac) !== generation) this.#dirty.nodes.add(mac);
    this.#dirty.orders.clear();
    if (lifted.length === 0) return;
    for (const number of lifted) {
      this.#orders.delete(number);
      told.push({ type: 'lifted', number });
    }
    this.#dirty.all = true;
  }

  #lookAtReceipts(number: number, told: Told[]): void {
    const known = this.#orders.get(number);
    if (known === undefined) return;
    for (const { mac } of this.#inventory.orders.receipts(number)) {
      if (known.stored.has(mac)) continue;
      const isStored = !this.#inventory.orders.pending(mac).some((order) => order.number === number);
      if (!isStored && known.counted.has(mac)) continue;
      (isStored ? known.stored : known.counted).add(mac);
      told.push({ type: 'evidence', number, mac, is: isStored ? 'stored' : 'counted' });
    }
  }

  #lookAtHolding(told: Told[]): void {
    const now = this.#inventory.customers.all().flatMap(({ name, onSilence }) => (onSilence === 'hold' ? [name] : []));
    if (now.join() === this.#holding.join()) return;
    this.#holding = now;
    told.push({ type: 'holding', customers: now });
  }

  #lookAtNode(mac: Mac, told: Told[]): void {
    const known = this.#nodes.get(mac);
    if (this.#inventory.nodes.get(mac) === undefined) {
      if (this.#nodes.delete(mac)) told.push({ type: 'removed', mac });
      return;
    }
    const session = this.#inventory.nodes.sessionOf(mac);
    const node: ToldNode = {
      type: 'node',
      mac,
      session: session === undefined ? undefined : { id: session.id, key: new Uint8Array(session.key) },
      generation: this.#inventory.nodes.generation(mac),
      customers: this.#inventory.nodes.permitted(mac),
    };
    if (known !== undefined && isSame(known, node)) return;
    this.#nodes.set(mac, node);
    told.push(node);
  }

  #stopped({ number, mac, evidence, evidenceAfterMs, receipt, signed }: Stopped): void {
    // Lifted meanwhile.
    if (!this.#orders.has(number)) return;
    const facts = {
      evidence,
      evidenceAfterMs,
      stoppedAfterMs: receipt?.stoppedAfterMs ?? null,
      processes: receipt?.processes ?? 0,
    };
    const heartbeat = signed === undefined ? undefined : { ...signed, datagram: viewOf(signed.datagram) };
    this.#inventory.orders
      .saveReceipt({ number, mac, receipt: facts, heartbeat })
      .catch(this.#onFailure)
      .finally(() => {
        // Neither on disk nor on its way there, for want of room: what the node repeats counts then.
        const isKept = this.#inventory.orders.receipts(number).some((each) => each.mac === mac);
        if (!isKept && this.#orders.has(number)) this.#tell([{ type: 'evidence', number, mac, is: 'open' }]);
      });
  }
}

/** Another thread's bytes come without Node's methods. */
function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function isSame(a: ToldNode, b: ToldNode): boolean {
  return a.session?.id === b.session?.id && a.generation === b.generation && isSameList(a.customers, b.customers);
}

function isSameList(a: readonly PermittedCustomer[], b: readonly PermittedCustomer[]): boolean {
  return (
    a.length === b.length && a.every(({ customer, hold }, at) => customer === b[at]?.customer && hold === b[at].hold)
  );
}
