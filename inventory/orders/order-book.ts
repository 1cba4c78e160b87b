// What the rest of Muster asks about kill orders, their receipts, and what was done to nodes that give none.
import type { EscalationStep } from '../../protocol/api/orders.ts';
import type { Mac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { AuditFeed } from '../audit/feed.ts';
import { killedBy } from '../customers/permitted-customers.ts';
import type { SessionIndex } from '../nodes/session-index.ts';
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import type { OrderDocument, ReceiptDocument } from '../store/documents.ts';
import type { Transact } from '../store/writer.ts';
import type { EscalationSteps } from './escalation-steps.ts';
import { decideKill, decideLift, decideReceipt, type ReceiptFacts, targetsOf } from './orders.ts';
import type { SentTimes } from './sent-times.ts';
import type { KillRequest, LiftRequest, OrderHooks, UnstoredOrders } from './unstored-orders.ts';

/** The datagram with the receipt in it, as it came, and the session that signed it. */
export interface SignedHeartbeat {
  session: string;
  datagram: Buffer;
}

export interface NewReceipt {
  number: number;
  mac: Mac;
  receipt: ReceiptFacts;
  heartbeat?: SignedHeartbeat | undefined;
}

/** Documents that it returns are shared and must not be changed. */
export interface OrderBook {
  /**
   * In force when it returns, on disk when it resolves: it is tried until the disk takes it. Rejects with StorageError where
   * the inventory is closed before.
   */
  kill(request: KillRequest, hooks?: OrderHooks): Promise<OrderDocument | Refused>;
  /** `by`: `operator` where nobody is named. On disk when it resolves, and tried until then. */
  lift(request: Omit<LiftRequest, 'by'> & { by?: string }, hooks?: OrderHooks): Promise<OrderDocument | Refused>;
  /** Neither the order nor its lift waits for the disk. */
  isStored(number: number): boolean;
  /** By number. */
  all(): OrderDocument[];
  get(number: number): OrderDocument | undefined;
  /** By number. */
  standing(): OrderDocument[];
  /** The number of the order that stops this customer: its own or the one for everything. */
  killedBy(customer: string): number | undefined;
  /** Standing orders that this node was a target of, without a receipt of it on disk, oldest first. */
  pending(mac: Mac): OrderDocument[];
  /** Those of `pending` that it has not acknowledged: a receipt of the others waits for the disk. */
  unacknowledged(mac: Mac): OrderDocument[];
  /** The nodes for which `unacknowledged` has something. */
  unacknowledgedNodes(): Mac[];

  /**
   * Idempotent: the first receipt of a node for an order stays. Ignored where there is no such order. Counts at once, and is
   * tried until the disk has taken it; resolves after the first attempt.
   */
  saveReceipt(receipt: NewReceipt): Promise<void>;
  receipts(number: number): ReceiptDocument[];
  /** The first permit for this node that follows a standing order left so long after it, ms. Memory only; the first stays. */
  permitSent(permit: { number: number; mac: Mac; afterMs: number }): void;
  /** In ms, by the receipt, or by what `permitSent` was told; null where this process sent none. */
  sentAfterMs(number: number, mac: Mac): number | null;

  /**
   * Ignored where there is no such order, or it did not name the node. Past 40 steps the newest takes the place of the last of
   * its kind. Counts at once, and is tried until the disk has taken it; resolves when it has, and after 700 ms at the latest.
   */
  addEscalationStep(of: { number: number; mac: Mac; step: EscalationStep }): Promise<void>;
  /** Oldest first. */
  escalationSteps(number: number, mac: Mac): EscalationStep[];
}

export interface OrderBookOptions {
  cache: Cache;
  transact: Transact;
  now: () => number;
  unstored: UnstoredOrders;
  steps: EscalationSteps;
  sent: SentTimes;
  sessions: SessionIndex;
  feed: AuditFeed;
}

export function orderBook(options: OrderBookOptions): OrderBook {
  const { cache, now, unstored, steps, sent } = options;
  return {
    kill: ({ scope, reason, by, targets }, hooks = {}) =>
      unstored.kill<OrderDocument>(
        { scope, reason, by, targets },
        { hooks, decide: (order) => (transaction) => decideKill(transaction, order) },
      ),
    lift: ({ scope, reason, by = 'operator' }, hooks = {}) =>
      unstored.lift<OrderDocument>(
        { scope, reason, by },
        { hooks, decide: () => (transaction) => decideLift(transaction, { scope, reason, by, now: now() }) },
      ),
    isStored: (number) => unstored.isStored(number),
    all: () => [...cache.all('orders').values(), ...unstored.orders()].toSorted((a, b) => a.number - b.number),
    get: (number) => unstored.order(number) ?? cache.get('orders', String(number)),
    standing: () => [...standingOrders(cache, unstored)].toSorted((a, b) => a.number - b.number),
    killedBy: (customer) =>
      (unstored.isEmpty ? undefined : (unstored.standingFor(customer) ?? unstored.standingFor(everything))?.number) ??
      killedBy(cache, customer),
    pending: (mac) => pendingOrders(mac, { cache, unstored }),
    unacknowledged: (mac) =>
      pendingOrders(mac, { cache, unstored }).filter(({ number }) => unstored.receipt(number, mac) === undefined),
    unacknowledgedNodes: () => unacknowledgedNodes(cache, unstored),

    saveReceipt: (receipt) => saveReceipt(options, receipt),
    receipts: (number) => [
      ...cache.receipts(number),
      ...unstored.receipts(number).filter(({ mac }) => !cache.hasReceipt(number, mac)),
    ],
    permitSent: (permit) => sent.note(permit),
    sentAfterMs: (number, mac) => cache.get('receipts', `${number}/${mac}`)?.sentAfterMs ?? sent.get(number, mac),

    addEscalationStep: (tried) => steps.add(tried),
    escalationSteps: (number, mac) => steps.of(number, mac),
  };
}

async function saveReceipt(
  { cache, transact, now, unstored, sent, sessions, feed }: OrderBookOptions,
  { number, mac, receipt: facts, heartbeat }: NewReceipt,
): Promise<void> {
  if (cache.get('receipts', `${number}/${mac}`) !== undefined) return;
  const receipt = { sentAfterMs: sent.get(number, mac), ...facts };
  const key = heartbeat === undefined ? undefined : sessions.byId(heartbeat.session)?.key;
  const proof = heartbeat === undefined || key === undefined ? undefined : { ...heartbeat, key };
  await unstored.hear({ number, mac, ...receipt }, () =>
    feed.withProof({ id: `${number}/${mac}`, proof }, () =>
      transact((transaction) => decideReceipt(transaction, { number, mac, receipt, now: now() })),
    ),
  );
}

/** In no order. */
function* standingOrders(cache: Cache, unstored: UnstoredOrders): Iterable<OrderDocument> {
  for (const { number } of cache.all('kill').values()) {
    const order = cache.get('orders', String(number));
    if (order !== undefined) yield order;
  }
  if (!unstored.isEmpty) yield* unstored.standing();
}

/** Standing orders whose receipt of this node is not on disk, oldest first: until then permits ask for it. */
function pendingOrders(mac: Mac, { cache, unstored }: { cache: Cache; unstored: UnstoredOrders }): OrderDocument[] {
  const pending: OrderDocument[] = [];
  for (const order of standingOrders(cache, unstored))
    if (!cache.hasReceipt(order.number, mac) && targetsOf(order).has(mac)) pending.push(order);
  return pending.length < 2 ? pending : pending.toSorted((a, b) => a.number - b.number);
}

/** The nodes that have not acknowledged a standing order. */
function unacknowledgedNodes(cache: Cache, unstored: UnstoredOrders): Mac[] {
  const nodes = new Set<Mac>();
  for (const { number, targets } of standingOrders(cache, unstored))
    for (const mac of targets)
      if (!cache.hasReceipt(number, mac) && cache.get('nodes', mac) !== undefined && !unstored.receipt(number, mac))
        nodes.add(mac);
  return [...nodes];
}
