// Between the inventory and the roll call: tells the roll call what the inventory says, as differences from what it was told
// before, and hands on to the inventory what the roll call heard. The one place where the two meet.
//
// It always tells the present state and never an event, so nothing can be missed for good: a look that came too early or was
// left out is made up for by the next one.
import type { Mac } from '../../protocol/mac.ts';
import type { PermittedCustomer } from '../../protocol/roll-call.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { Change } from '../../inventory/store/changes.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { Confirmed, Report, Told } from './roll-call-messages.ts';

type ToldNode = Told & { type: 'node' };

interface ToldOrder {
  /** Told as confirmed and stored, and as confirmed. */
  stored: Set<Mac>;
  counted: Set<Mac>;
}

export interface RollCallFeed {
  /** Compares all that may have changed, and tells it. */
  look(): void;
  /** An order that was given in this moment: its time counts from now on. */
  given(order: OrderDocument, since: number): void;
  /** By the monotonic clock; undefined for an order of an earlier process. */
  givenAt(number: number): number | undefined;
  heard(report: Report): void;
}

export function startRollCallFeed({
  inventory,
  tell,
  onFailure,
}: {
  inventory: Inventory;
  /** Never with nothing. */
  tell: (told: Told[]) => void;
  /** A write that failed: the receipt stays unconfirmed and the node will repeat it. */
  onFailure: (error: unknown) => void;
}): RollCallFeed {
  const nodes = new Map<Mac, ToldNode>();
  const orders = new Map<number, ToldOrder>();
  const givenAt = new Map<number, number>();
  let holding: readonly string[] = [];
  /** What may read otherwise since the last look. */
  const dirty = { nodes: new Set<Mac>(), orders: new Set<number>(), customers: true, all: true };
  let isLookDue = false;

  inventory.subscribe((change) => {
    if (!mark(change) || isLookDue) return;
    isLookDue = true;
    // Once for all changes of a transaction, and before anything else happens.
    queueMicrotask(look);
  });
  look();

  function mark(change: Change): boolean {
    switch (change.kind) {
      case 'node':
        dirty.nodes.add(change.mac);
        return true;
      case 'instance':
        dirty.nodes.add(change.node);
        return true;
      case 'customer':
        dirty.customers = true;
        for (const { node } of inventory.instances.of(change.name)) dirty.nodes.add(node);
        return true;
      case 'order':
        dirty.orders.add(change.number);
        return true;
      default:
        return false;
    }
  }

  function look(): void {
    isLookDue = false;
    const told: Told[] = [];
    lookAtOrders(told);
    if (dirty.customers) lookAtHolding(told);
    if (dirty.all) for (const { mac } of inventory.nodes.all()) dirty.nodes.add(mac);
    for (const mac of dirty.nodes) lookAtNode(mac, told);
    dirty.nodes.clear();
    dirty.customers = dirty.all = false;
    if (told.length > 0) tell(told);
  }

  /** First: an order stops whomever it stops before anything is said of a node. */
  function lookAtOrders(told: Told[]): void {
    const standing = new Map(inventory.orders.standing().map((order) => [order.number, order]));
    for (const [number, { scope, targets, at }] of standing) {
      if (orders.has(number)) continue;
      told.push({ type: 'given', order: { number, scope, targets, at, since: givenAt.get(number) } });
      orders.set(number, { stored: new Set(), counted: new Set() });
      dirty.orders.add(number);
      dirty.all = true;
    }
    const lifted = [...orders.keys()].filter((number) => !standing.has(number));
    for (const number of dirty.orders) if (standing.has(number)) lookAtReceipts(number, told);
    // An order that is on disk now, or whose lift is, moves the generations of those that it concerns.
    if (dirty.orders.size > 0)
      for (const { mac, generation } of nodes.values())
        if (inventory.nodes.generation(mac) !== generation) dirty.nodes.add(mac);
    dirty.orders.clear();
    if (lifted.length === 0) return;
    for (const number of lifted) {
      orders.delete(number);
      told.push({ type: 'lifted', number });
    }
    dirty.all = true;
  }

  function lookAtReceipts(number: number, told: Told[]): void {
    const known = orders.get(number);
    if (known === undefined) return;
    for (const { mac } of inventory.orders.receipts(number)) {
      if (known.stored.has(mac)) continue;
      const isStored = !inventory.orders.pending(mac).some((order) => order.number === number);
      if (!isStored && known.counted.has(mac)) continue;
      (isStored ? known.stored : known.counted).add(mac);
      told.push({ type: 'confirmation', number, mac, is: isStored ? 'stored' : 'counted' });
    }
  }

  function lookAtHolding(told: Told[]): void {
    const now = inventory.customers.all().flatMap(({ name, onSilence }) => (onSilence === 'hold' ? [name] : []));
    if (now.join() === holding.join()) return;
    holding = now;
    told.push({ type: 'holding', customers: now });
  }

  function lookAtNode(mac: Mac, told: Told[]): void {
    const known = nodes.get(mac);
    if (inventory.nodes.get(mac) === undefined) {
      if (nodes.delete(mac)) told.push({ type: 'removed', mac });
      return;
    }
    const session = inventory.nodes.sessionOf(mac);
    const node: ToldNode = {
      type: 'node',
      mac,
      session: session === undefined ? undefined : { id: session.id, key: new Uint8Array(session.key) },
      generation: inventory.nodes.generation(mac),
      customers: inventory.nodes.permitted(mac),
    };
    if (known !== undefined && isSame(known, node)) return;
    nodes.set(mac, node);
    told.push(node);
  }

  function confirmed({ number, mac, evidence, confirmedAfterMs, receipt, signed }: Confirmed): void {
    // Lifted meanwhile.
    if (!orders.has(number)) return;
    const facts = {
      evidence,
      confirmedAfterMs,
      stoppedAfterMs: receipt?.stoppedAfterMs ?? null,
      processes: receipt?.processes ?? 0,
    };
    const heartbeat = signed === undefined ? undefined : { ...signed, datagram: viewOf(signed.datagram) };
    inventory.orders
      .saveReceipt({ number, mac, receipt: facts, heartbeat })
      .catch(onFailure)
      .finally(() => {
        // Neither on disk nor on its way there, for want of room: what the node repeats counts then.
        const isKept = inventory.orders.receipts(number).some((each) => each.mac === mac);
        if (!isKept && orders.has(number)) tell([{ type: 'confirmation', number, mac, is: 'open' }]);
      });
  }

  return {
    look,
    given: ({ number }, since) => {
      for (const known of givenAt.keys()) if (!orders.has(known)) givenAt.delete(known);
      givenAt.set(number, since);
      look();
    },
    givenAt: (number) => givenAt.get(number),
    heard: (report) => {
      switch (report.type) {
        case 'heard':
          inventory.nodes.heartbeat(report.mac, report.at, { isReplay: report.isReplay });
          inventory.nodes.generationApplied(report.mac, report.generation);
          // It counts on from there now.
          if (inventory.nodes.generation(report.mac) !== nodes.get(report.mac)?.generation) dirty.nodes.add(report.mac);
          return;
        case 'sent':
          return inventory.orders.permitSent({ number: report.number, mac: report.mac, afterMs: report.afterMs });
        case 'confirmed':
          return confirmed(report);
        case 'beacon':
          return inventory.nodes.beaconSeen({ ip: report.ip, uuid: report.uuid });
      }
    },
  };
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
