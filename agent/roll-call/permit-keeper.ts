// Who may run on this node, and until when. Pure: events and the time go in, actions come out; `roll-call.ts` does them.
//
// The clock is the node's own monotonic one, in ms. A permit counts from the moment its nonce was *sent*, so that no
// delay on the way, and nobody else's clock, can lengthen it.
//
//   permit, sequence not above the last one ─► nothing: a replay, or overtaken by a newer one
//   permit, its nonce ours and young        ─► stops whom it does not list, extends and allows whom it lists
//   permit, its nonce unknown or too old    ─► stops whom it does not list, extends nothing and allows nobody
//   a customer's time is up                 ─► stop, reason `silence`; with `hold` it runs on and we go on vouching for it
//   an order to acknowledge                 ─► stops its scope even where the same permit lists it; a receipt when it is empty,
//                                              told again when a later permit still asks for it
//
// `hold` needs a living agent: the leash accepts no deadline further off than one permit, so a node whose agent dies
// under `hold` stops the customer within the bound, as everybody else.
import { everything, type OrderToAcknowledge, type Permit, type Receipt } from '../../protocol/roll-call.ts';
import { heartbeatIntervalMs, permitValidityMs, receiptRepeatMs } from '../../protocol/timing.ts';
import type { StopReason } from '../containers/runtime.ts';

interface Grant {
  /** Permitted until then. */
  untilMs: number;
  hold: boolean;
  /** What the leash was told last. */
  vouchedUntilMs: number;
}

interface PendingOrder {
  scope: string;
  /** Undefined while processes of the scope are left. */
  receipt: Receipt | undefined;
}

export interface Keeper {
  nonces: readonly { nonce: string; sentAtMs: number }[];
  permitSequence: bigint;
  /** The newest desired generation heard of in this session. */
  generation: bigint;
  customers: ReadonlyMap<string, Readonly<Grant>>;
  /** Orders that the newest permit wants acknowledged. */
  orders: ReadonlyMap<bigint, Readonly<PendingOrder>>;
}

export type KeeperEvent =
  /** A heartbeat is about to leave. */
  | { type: 'sent'; nonce: Buffer; nowMs: number }
  /** Its signature and session were found good. */
  | { type: 'permit'; permit: Permit; nowMs: number }
  | { type: 'tick'; nowMs: number }
  /** What a `stop` action started has ended: the scope's control group is empty. */
  | { type: 'stopped'; orders: readonly bigint[]; stoppedAfterMs: number; processes: number }
  /** A new session: its sequences, orders and generations start again. Grants keep the time they have. */
  | { type: 'session' };

export type Action =
  /** Kill now; `orders` get their receipt with the `stopped` event. The scope is a customer or `*`. */
  | { type: 'stop'; scope: string; reason: StopReason; orders: readonly bigint[] }
  /** Tell the leash how long the customer may run; 0: not at all. */
  | { type: 'vouch'; customer: string; untilMs: number }
  | { type: 'allow'; customer: string }
  | { type: 'fetch'; generation: bigint }
  /** A receipt is ready, or was lost on its way: a heartbeat should leave at once. */
  | { type: 'beat' };

export interface Step {
  keeper: Keeper;
  actions: Action[];
}

/** As many as can be young at once: extra heartbeats leave at most every 25 ms, regular ones every 750 ms. */
export const nonceLimit = 128;

/** The leash is told again, for a held customer, when it would wait no longer than this. */
const vouchAgainBelowMs = permitValidityMs - heartbeatIntervalMs;

/**
 * `running` are the customers that a former agent of this boot left running. Their permits are no older than this moment
 * and end with it plus one permit; the leash knows exactly when, and stops them on time.
 */
export function newKeeper(running: readonly string[], nowMs: number): Keeper {
  const grant = { untilMs: nowMs + permitValidityMs, hold: false, vouchedUntilMs: 0 };
  return {
    nonces: [],
    permitSequence: 0n,
    generation: 0n,
    customers: new Map(running.map((customer) => [customer, grant])),
    orders: new Map(),
  };
}

export function step(keeper: Keeper, event: KeeperEvent): Step {
  switch (event.type) {
    case 'sent':
      return { keeper: { ...keeper, nonces: remember(keeper, event) }, actions: [] };
    case 'permit':
      return onPermit(keeper, event);
    case 'tick':
      return onTick(keeper, event.nowMs);
    case 'stopped':
      return onStopped(keeper, event);
    case 'session':
      return { keeper: { ...keeper, nonces: [], permitSequence: 0n, generation: 0n, orders: new Map() }, actions: [] };
  }
}

/** When the next tick has something to do; undefined when nothing is permitted. */
export function nextTickMs(keeper: Keeper): number | undefined {
  let next: number | undefined;
  for (const { untilMs, hold, vouchedUntilMs } of keeper.customers.values()) {
    const at = hold ? vouchedUntilMs - vouchAgainBelowMs : untilMs;
    if (next === undefined || at < next) next = at;
  }
  return next;
}

/** Repeated in every heartbeat until a permit no longer asks for them. */
export function receipts(keeper: Keeper): Receipt[] {
  return [...keeper.orders.values()].flatMap(({ receipt }) => receipt ?? []);
}

function remember(keeper: Keeper, { nonce, nowMs }: { nonce: Buffer; nowMs: number }): Keeper['nonces'] {
  const young = keeper.nonces.filter(({ sentAtMs }) => sentAtMs + permitValidityMs > nowMs);
  return [...young.slice(1 - nonceLimit), { nonce: nonce.toString('hex'), sentAtMs: nowMs }];
}

function onPermit(before: Keeper, { permit, nowMs }: { permit: Permit; nowMs: number }): Step {
  if (permit.sequence <= before.permitSequence) return { keeper: before, actions: [] };
  // What ran out before this permit came has ended, also when the timer is late: the leash thinks so too.
  const { keeper, actions } = onTick(before, nowMs);

  const orders = new Map<bigint, PendingOrder>();
  const newOrders = new Map<string, bigint[]>();
  for (const { order, scope } of permit.orders) {
    const former = keeper.orders.get(order);
    // Where the controller's state came back from a backup, a number may be another order's by now.
    const known = former?.scope === scope ? former : undefined;
    orders.set(order, known ?? { scope, receipt: undefined });
    if (known === undefined) newOrders.set(scope, [...(newOrders.get(scope) ?? []), order]);
  }
  const lastBeatMs = keeper.nonces.at(-1)?.sentAtMs ?? -Infinity;
  if (nowMs - lastBeatMs >= receiptRepeatMs && permit.orders.some(({ order }) => orders.get(order)?.receipt))
    actions.push({ type: 'beat' });
  for (const [scope, numbers] of newOrders) actions.push({ type: 'stop', scope, reason: 'killed', orders: numbers });

  const listed = new Map(
    permit.customers.filter(({ customer }) => !isOrdered(permit.orders, customer)).map((each) => [each.customer, each]),
  );
  const customers = new Map<string, Grant>();
  for (const [customer, grant] of keeper.customers) {
    const may = listed.get(customer);
    if (may !== undefined) {
      customers.set(customer, { ...grant, hold: grant.hold && may.hold });
      continue;
    }
    if (!newOrders.has(customer) && !newOrders.has(everything))
      actions.push({
        type: 'stop',
        scope: customer,
        reason: isOrdered(permit.orders, customer) ? 'killed' : 'removed',
        orders: [],
      });
    actions.push({ type: 'vouch', customer, untilMs: 0 });
  }

  const untilMs = permittedUntilMs(keeper, permit);
  if (untilMs !== undefined && untilMs > nowMs) {
    for (const { customer, hold } of listed.values()) {
      const grant = customers.get(customer);
      const longerMs = Math.max(untilMs, grant?.untilMs ?? 0);
      customers.set(customer, {
        untilMs: longerMs,
        hold,
        vouchedUntilMs: Math.max(longerMs, grant?.vouchedUntilMs ?? 0),
      });
      if (longerMs > (grant?.vouchedUntilMs ?? 0)) actions.push({ type: 'vouch', customer, untilMs: longerMs });
    }
    // After the leash knows of all of them: an allowed customer that it does not know would be killed by its next sweep.
    for (const customer of listed.keys()) actions.push({ type: 'allow', customer });
  }

  const generation = permit.generation > keeper.generation ? permit.generation : keeper.generation;
  if (generation > keeper.generation) actions.push({ type: 'fetch', generation });
  return { keeper: { ...keeper, permitSequence: permit.sequence, generation, customers, orders }, actions };
}

function isOrdered(orders: readonly OrderToAcknowledge[], customer: string): boolean {
  return orders.some(({ scope }) => scope === everything || scope === customer);
}

/** Undefined where the nonce is none of ours, or too old to be remembered. The leash holds nobody longer than 3 s either. */
function permittedUntilMs(keeper: Keeper, permit: Permit): number | undefined {
  const nonce = permit.nonce.toString('hex');
  const sent = keeper.nonces.find((each) => each.nonce === nonce);
  return sent && sent.sentAtMs + Math.min(permit.validityMs, permitValidityMs);
}

function onTick(keeper: Keeper, nowMs: number): Step {
  const actions: Action[] = [];
  const customers = new Map<string, Grant>();
  for (const [customer, grant] of keeper.customers) {
    if (grant.untilMs <= nowMs && !grant.hold) {
      actions.push({ type: 'stop', scope: customer, reason: 'silence', orders: [] });
      actions.push({ type: 'vouch', customer, untilMs: 0 });
    } else if (grant.hold && grant.vouchedUntilMs - nowMs <= vouchAgainBelowMs) {
      const vouchedUntilMs = nowMs + permitValidityMs;
      customers.set(customer, { ...grant, vouchedUntilMs });
      actions.push({ type: 'vouch', customer, untilMs: vouchedUntilMs });
    } else {
      customers.set(customer, grant);
    }
  }
  return { keeper: { ...keeper, customers }, actions };
}

function onStopped(
  keeper: Keeper,
  { orders: numbers, stoppedAfterMs, processes }: Extract<KeeperEvent, { type: 'stopped' }>,
): Step {
  const orders = new Map<bigint, Readonly<PendingOrder>>(keeper.orders);
  for (const order of numbers) {
    const pending = orders.get(order);
    if (pending !== undefined) orders.set(order, { ...pending, receipt: { order, stoppedAfterMs, processes } });
  }
  const ready = numbers.some((order) => orders.has(order));
  return { keeper: { ...keeper, orders }, actions: ready ? [{ type: 'beat' }] : [] };
}
