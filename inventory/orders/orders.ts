// Decisions about kill orders: given, lifted, acknowledged. An order stands while `kill/<scope>` is there.
import type { EscalationStep } from '../../protocol/api/orders.ts';
import type { Mac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import { unknownCustomer } from '../customers/unknown.ts';
import type { OrderDocument, ReceiptDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Refused } from '../refused.ts';
import type { View } from '../store/cache.ts';

/** Lifted orders that are kept with their receipts, 684 a piece; the events tell of older ones. */
export const liftedLimit = 50;
/** Steps kept a node and order: the first tell how it began, the last how it stands. */
const stepLimit = 40;

/** Left out, `sentAfterMs` is what `permitSent` was told. */
export type ReceiptFacts = Omit<ReceiptDocument, 'number' | 'mac'>;

/** Of an order that is in force already, see `unstored-orders.ts`. */
export function decideKill(transaction: Transaction, order: OrderDocument): OrderDocument | Refused {
  const { number, scope, reason, by } = order;
  if (scope !== everything && transaction.get('customers', scope) === undefined) return unknownCustomer(scope);
  const standing = transaction.get('kill', scope);
  if (standing !== undefined) return { refused: `order ${standing.number} stops ${named(scope)} already` };
  transaction.put('counters', 'orders', { value: Math.max(number, transaction.get('counters', 'orders')?.value ?? 0) });
  transaction.put('orders', String(number), order);
  transaction.put('kill', scope, { number });
  forgetOldest(transaction);
  transaction.event(
    'kill',
    String(number),
    `stop ${named(scope)} on ${order.targets.length} nodes, given by ${by}: ${reason}`,
  );
  return order;
}

function forgetOldest(transaction: Transaction): void {
  const lifted = Array.from(transaction.all('orders'), ([, order]) => order).filter(
    ({ liftedAt }) => liftedAt !== null,
  );
  const old = lifted.toSorted((a, b) => b.number - a.number).slice(liftedLimit);
  for (const { number, targets } of old) {
    transaction.remove('orders', String(number));
    for (const mac of targets) {
      transaction.remove('receipts', `${number}/${mac}`);
      transaction.remove('escalations', `${number}/${mac}`);
    }
  }
}

export function decideLift(
  transaction: Transaction,
  { scope, reason, by, now }: { scope: string; reason: string; by: string; now: number },
): OrderDocument | Refused {
  const standing = transaction.get('kill', scope);
  const order = standing === undefined ? undefined : transaction.get('orders', String(standing.number));
  if (order === undefined)
    return notStanding(transaction, { scope, above: transaction.get('kill', everything)?.number });
  const lifted = { ...order, liftedAt: now, liftReason: reason, liftedBy: by };
  transaction.put('orders', String(order.number), lifted);
  transaction.remove('kill', scope);
  transaction.event('kill', String(order.number), `lifted by ${by}${reason === '' ? '' : `: ${reason}`}`);
  return lifted;
}

/** Why an order on this scope cannot be lifted, where none stands. `above`: the order that stops everything. */
export function notStanding(view: View, { scope, above }: { scope: string; above: number | undefined }): Refused {
  if (scope === everything || above === undefined)
    return scope !== everything && view.get('customers', scope) === undefined
      ? unknownCustomer(scope)
      : { refused: `no order stops ${named(scope)}` };
  return { refused: `no order of its own stops ${scope}: order ${above} stops everything, lift that one` };
}

/**
 * The first receipt stays: a later one tells of a second, shorter stop. Only of nodes that the order named. False where
 * there is no such order.
 */
export function decideReceipt(
  transaction: Transaction,
  { number, mac, receipt, now }: { number: number; mac: Mac; receipt: ReceiptFacts; now: number },
): boolean {
  const id = `${number}/${mac}`;
  const order = transaction.get('orders', String(number));
  if (order === undefined) return false;
  if (!targetsOf(order).has(mac) || transaction.get('receipts', id) !== undefined) return true;
  transaction.put('receipts', id, { number, mac, ...receipt });
  // The node's own report follows within seconds: no screen should show as running what is proven gone.
  for (const instance of transaction.instancesOn(mac)) {
    const key = transaction.instanceKey(instance.id);
    const inScope = order.scope === everything || order.scope === instance.customer;
    if (key !== undefined && inScope && instance.state !== 'stopped')
      transaction.put('instances', key, { ...instance, state: 'stopped', reason: '', since: now });
  }
  const name = transaction.get('nodes', mac)?.name ?? mac;
  transaction.event(
    'kill',
    String(number),
    `${name}: ${receipt.evidence} after ${Math.round(receipt.evidenceAfterMs)} ms`,
  );
  return true;
}

/** Only of nodes that the order named; no more than `stepLimit`, then the newest in the place of the last of its kind. */
export function decideEscalation(
  transaction: Transaction,
  { number, mac, step }: { number: number; mac: Mac; step: EscalationStep },
): void {
  if (transaction.get('orders', String(number))?.targets.includes(mac) !== true) return;
  const id = `${number}/${mac}`;
  const steps = withStep(transaction.get('escalations', id)?.steps ?? [], step);
  transaction.put('escalations', id, { number, mac, steps });
  const name = transaction.get('nodes', mac)?.name ?? mac;
  transaction.event('kill', String(number), `${name}: ${step.by} ${step.outcome}: ${step.detail}`);
}

export function withStep(before: EscalationStep[], step: EscalationStep): EscalationStep[] {
  const last = before.findLastIndex(({ by }) => by === step.by);
  const kept = before.length < stepLimit ? before : before.toSpliced(last, 1);
  return [...kept, step];
}

/** Asked for each heartbeat of each node while an order stands. */
export function targetsOf(order: OrderDocument): ReadonlySet<Mac> {
  const known = targetSets.get(order);
  if (known !== undefined) return known;
  const targets = new Set(order.targets);
  targetSets.set(order, targets);
  return targets;
}

const targetSets = new WeakMap<OrderDocument, ReadonlySet<Mac>>();

export function named(scope: string): string {
  return scope === everything ? 'everything' : scope;
}
