// What a start makes of an inventory that knows less than it once did: a damaged write-ahead log, an older copy that was put
// back, a file that is gone. Two witnesses tell: the mark (`revision-mark.ts`) and the audit log. An order that the audit log
// knows as given and not lifted stands again; where nobody can tell which orders stood, everything stays stopped. It ends as
// any order does: by a lift.
import type { AuditTold } from './audit/audit.ts';
import type { Transaction } from './store/transaction.ts';
import { everything } from '../protocol/roll-call.ts';
import type { Mark } from './store/revision-mark.ts';
import { named } from './orders/orders.ts';

/** In whose name the controller gives orders; no operator can be called so, see `operatorPattern`. */
export const givenByStart = 'the controller (inventory in doubt)';

export interface Witnesses {
  /** Of the store, as it was found. */
  revision: number;
  /** Undefined where there is none: a new directory, or one of an older Muster. */
  mark: Mark | undefined;
  /** A sentence where it cannot be read. */
  audit: AuditTold | string;
}

/** Whether the store lacks what it once had on disk. */
export function isBehind({ revision, mark, audit }: Witnesses): boolean {
  return knownRevision({ revision, mark, audit }) > revision;
}

/** The last one that the store is known to have had on disk. */
export function knownRevision({ mark, audit }: Witnesses): number {
  return Math.max(mark?.revision ?? 0, typeof audit === 'string' ? 0 : audit.bookmark);
}

/** `where`: what became of the files, in words. */
export function lossText(witnesses: Witnesses, where: string): string {
  return (
    `the inventory lost changes: it ends at revision ${witnesses.revision} and once was at ${knownRevision(witnesses)}${where}. ` +
    'Customers, workloads and nodes of those changes are missing: add them again, or put back a backup ' +
    '(docs/OPERATIONS.md, "Damage")'
  );
}

/** Gives what an operator has to know, a sentence each. */
export function decideRecovery(
  transaction: Transaction,
  { witnesses, now }: { witnesses: Witnesses; now: number },
): string[] {
  const { audit, mark } = witnesses;
  const behind = isBehind(witnesses);
  const said = typeof audit === 'string' ? [] : restoreOrders(transaction, { audit, behind });
  if (typeof audit !== 'string' && behind) said.push(...restoreFences(transaction, audit));
  if (!behind) return said;
  const isTold = typeof audit !== 'string' && audit.unreadable === 0 && audit.bookmark >= (mark?.orders ?? 0);
  // Where no order was ever given there is none to be in doubt about.
  if (!isTold && mark?.orders !== 0) said.push(holdEverything(transaction, now));
  return said;
}

function restoreOrders(transaction: Transaction, { audit, behind }: { audit: AuditTold; behind: boolean }): string[] {
  const counter = transaction.get('counters', 'orders')?.value ?? 0;
  // Orders that were lifted long ago are forgotten by the inventory: what it may know and does not, only a loss explains.
  const lost = audit.standing.filter(
    ({ number }) => number > counter || (behind && transaction.get('orders', String(number)) === undefined),
  );
  for (const order of lost.toSorted((a, b) => a.number - b.number)) {
    const { number, scope } = order;
    const former = transaction.get('kill', scope);
    const earlier = former === undefined ? undefined : transaction.get('orders', String(former.number));
    if (earlier !== undefined)
      transaction.put('orders', String(earlier.number), {
        ...earlier,
        liftedAt: order.at,
        liftReason: `order ${number} took its place`,
        liftedBy: givenByStart,
      });
    transaction.put('orders', String(number), order);
    transaction.put('kill', scope, { number });
    for (const receipt of audit.receipts)
      if (receipt.number === number) transaction.put('receipts', `${number}/${receipt.mac}`, receipt);
  }
  if (audit.lastNumber > counter) transaction.put('counters', 'orders', { value: audit.lastNumber });
  return lost.map(
    ({ number, scope }) =>
      `order ${number} on ${named(scope)} stands again: the inventory had lost it, the audit log knows it as not lifted ` +
      `(muster lift ${scope === everything ? '--everything' : scope} ends it)`,
  );
}

function restoreFences(transaction: Transaction, audit: AuditTold): string[] {
  return audit.fenced.flatMap((mac) => {
    const node = transaction.get('nodes', mac);
    if (node?.fenced === true) return [];
    if (node === undefined)
      return [`the audit log knows ${mac} as fenced, and the inventory does not know it: fence it when it shows up`];
    transaction.put('nodes', mac, { ...node, fenced: true, fencedBy: givenByStart });
    return [`${node.name} is fenced again, as the audit log has it (muster node unfence ${node.name} ends it)`];
  });
}

function holdEverything(transaction: Transaction, now: number): string {
  const why = 'the inventory lost changes, and the audit log cannot tell which orders stood';
  const standing = transaction.get('kill', everything);
  if (standing !== undefined) return `${why}: everything stays stopped by order ${standing.number}`;
  const number = transaction.count('orders');
  const targets = Array.from(transaction.all('nodes'), ([mac]) => mac).filter(
    (mac) => transaction.get('sessions', mac) !== undefined,
  );
  const order = { number, scope: everything, reason: why, by: givenByStart, at: now, liftedAt: null, liftReason: null };
  transaction.put('orders', String(number), { ...order, targets });
  transaction.put('kill', everything, { number });
  return (
    `${why}: order ${number} keeps everything stopped. Give the orders that should stand (muster kill), ` +
    'then end it by muster lift --everything'
  );
}
