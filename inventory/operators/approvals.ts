// The two-person rule: what one operator asked for waits here until another approves it. A request and the order that it
// becomes are decided by the one writer, so two who approve at once give one order.
import type { Mac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import { decideKill, decideLift, named } from '../orders/orders.ts';
import type { OrderHooks, UnstoredOrders } from '../orders/unstored-orders.ts';
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import type { ApprovalDocument, OrderDocument } from '../store/documents.ts';
import { Transaction } from '../store/transaction.ts';
import type { Decide, Transact } from '../store/writer.ts';
import { type Note, noted } from './audited.ts';
import { decidersOf } from './roles.ts';

/** What two operators are needed for. */
export interface ApprovalRequest {
  action: 'kill' | 'lift';
  /** A customer's name or `*`. */
  scope: string;
  reason: string;
  by: string;
  /** The nodes that have to stop it; none for a lift. */
  targets: Mac[];
}

export interface Approved {
  action: ApprovalRequest['action'];
  order: OrderDocument;
}
/** Waits for a second operator, or is done. */
export type RequestAnswer = { approval: ApprovalDocument } | Approved;

export interface ApprovalBook {
  /** What waits and has not expired, oldest first. */
  all(): ApprovalDocument[];
  get(id: number): ApprovalDocument | undefined;
  /**
   * The first time it is stored for `waitMs`; when another operator asks for the same meanwhile, that approves it.
   * Refused as the order itself would be, and where nobody is there who could approve. What is approved is in force and
   * stored as by `OrderBook.kill` and `lift`.
   */
  request(request: ApprovalRequest, waiting: OrderHooks & { waitMs: number }): Promise<RequestAnswer | Refused>;
  /** `targets` as they are now. Once only: whoever comes second is refused. */
  approve(approval: { id: number; by: string; targets: Mac[] }, hooks?: OrderHooks): Promise<Approved | Refused>;
  withdraw(id: number, by: string): Promise<{ removed: number } | Refused>;
  /** Removes what has expired. Costs nothing where there is none. */
  expire(): Promise<void>;
}

export interface ApprovalBookOptions {
  cache: Cache;
  unstored: UnstoredOrders;
  transact: Transact;
  /** Milliseconds since 1970. */
  now: () => number;
  audit: Note;
}

/** The order that a request becomes. */
type OrderOf = (request: ApprovalRequest) => OrderDocument;

export function approvalBook({ cache, unstored, transact, now, audit }: ApprovalBookOptions): ApprovalBook {
  /** Approved, in force, and on their way to disk: they cannot expire or be withdrawn any more. */
  const approving = new Set<number>();

  /**
   * What a second operator approves is in force at once, as an order of one operator. Where it turns out that this approval
   * does not wait any more, the one writer says so, and the order is taken back.
   */
  function decided<T extends object>(
    given: { approval: ApprovalDocument | undefined; by: string; targets: Mac[]; hooks: OrderHooks },
    decide: (transaction: Transaction, means: { note: Note; orderOf: OrderOf }) => T | Refused,
  ): Promise<T | Refused> {
    const { approval, targets, hooks } = given;
    let orderOf: OrderOf = (request) => orderFrom(request, { number: unstored.nextNumber(), now: now() });
    const decision = (transaction: Transaction, note: Note) => decide(transaction, { note, orderOf });
    const { action, scope, reason } = approval ?? {};
    const deciders = decidersOf(cache.all('operators'), { action: action ?? 'kill', now: now() });
    const mayApprove = approval?.by !== given.by && deciders.includes(given.by);
    if (approval === undefined || scope === undefined || reason === undefined || !mayApprove)
      return noted(decision, { audit, transact });
    const by = bothNames(approval, given.by);
    let taken: (each: Decide<T | Refused>) => Promise<T | Refused> = transact;
    if (action === 'kill' && unstored.killRefusal(scope) === undefined)
      taken = (each) =>
        unstored.kill(
          { scope, reason, by, targets },
          {
            hooks,
            decide: (order) => {
              orderOf = () => order;
              return each;
            },
          },
        );
    else if (action === 'lift' && !('refused' in unstored.toBeLifted(scope)))
      taken = (each) => unstored.lift({ scope, reason, by }, { hooks, decide: () => each });
    approving.add(approval.id);
    return noted(decision, { audit, transact: taken }).finally(() => approving.delete(approval.id));
  }

  const isOver = ({ id, expiresAt }: ApprovalDocument) => now() >= expiresAt && !approving.has(id);
  const waiting = () => [...cache.all('approvals').values()].filter(({ expiresAt }) => now() < expiresAt);
  return {
    all: () => waiting().toSorted((a, b) => a.id - b.id),
    get: (id) => waiting().find((approval) => approval.id === id),
    request: (request, { waitMs, ...hooks }) => {
      const { by, targets, action, scope } = request;
      const approval = waiting().find((each) => each.action === action && each.scope === scope);
      return decided<RequestAnswer>({ approval, by, targets, hooks }, (transaction, means) =>
        decideRequest(transaction, { request, now: now(), waitMs, ...means }),
      );
    },
    approve: ({ id, by, targets }, hooks = {}) => {
      const approval = waiting().find((each) => each.id === id);
      return decided<Approved>({ approval, by, targets, hooks }, (transaction, means) =>
        decideApprove(transaction, { id, by, targets, now: now(), ...means }),
      );
    },
    withdraw: (id, by) =>
      approving.has(id)
        ? Promise.resolve(gone(id))
        : noted((transaction, note) => decideWithdraw(transaction, { id, by, now: now(), note }), { audit, transact }),
    expire: async () => {
      if ([...cache.all('approvals').values()].some(isOver))
        await noted((transaction, note) => decideExpire(transaction, { isOver, note }), { audit, transact });
    },
  };
}

/** What a decision is taken with. */
interface Means {
  now: number;
  orderOf: OrderOf;
  note: Note;
}

function decideRequest(
  transaction: Transaction,
  { request, waitMs, ...means }: Means & { request: ApprovalRequest; waitMs: number },
): RequestAnswer | Refused {
  const { now, note } = means;
  decideExpire(transaction, { isOver: ({ expiresAt }) => now >= expiresAt, note });
  const { action, scope, reason, by } = request;
  const deciders = decidersOf(transaction.all('operators'), { action, now });
  if (!deciders.includes(by)) return notAnOperator(by);
  const same = Array.from(transaction.all('approvals'), ([, approval]) => approval).find(
    (each) => each.action === action && each.scope === scope,
  );
  if (same !== undefined) return decideApprove(transaction, { id: same.id, by, targets: request.targets, ...means });
  // Nobody should wait for what would be refused.
  const trial = decideOrder(new Transaction(transaction), {
    request,
    now,
    orderOf: (each) => orderFrom(each, { number: 1, now }),
  });
  if ('refused' in trial) return trial;
  if (deciders.length < 2)
    return {
      refused: `${wording(request)} needs two operators and there is only ${by}: muster operator add NAME makes another`,
    };
  const id = transaction.count('approvals');
  const approval = { id, action, scope, reason, by, at: now, expiresAt: now + waitMs };
  transaction.put('approvals', String(id), approval);
  transaction.event('approval', subjectOf(id), `${by} asks for a second operator to ${wording(request)}: ${reason}`);
  note(subjectOf(id), { step: 'asked', action, scope, reason, by, expiresAt: approval.expiresAt });
  return { approval };
}

function decideApprove(
  transaction: Transaction,
  { id, by, targets, now, orderOf, note }: Means & { id: number; by: string; targets: Mac[] },
): Approved | Refused {
  const approval = transaction.get('approvals', String(id));
  if (approval === undefined || now >= approval.expiresAt) return gone(id);
  // Between the check of the token and this moment it may have been removed.
  if (!decidersOf(transaction.all('operators'), { action: approval.action, now }).includes(by))
    return notAnOperator(by);
  if (approval.by === by) return { refused: `${by} asked for this (approval ${id}): another operator must approve it` };
  const { action, scope, reason } = approval;
  const request = { action, scope, reason, by: bothNames(approval, by), targets };
  const done = decideOrder(transaction, { request, now, orderOf });
  if ('refused' in done) {
    drop(transaction, { approval, why: `no longer possible: ${done.refused}`, note });
    return done;
  }
  transaction.remove('approvals', String(id));
  transaction.event('approval', subjectOf(id), `${by} approves what ${approval.by} asked for: ${wording(approval)}`);
  note(subjectOf(id), {
    step: 'approved',
    action: approval.action,
    scope: approval.scope,
    by,
    order: done.order.number,
  });
  return done;
}

function notAnOperator(name: string): Refused {
  return { refused: `${name} is no operator who may decide this (any more)` };
}

function bothNames({ by }: ApprovalDocument, approvedBy: string): string {
  return `${by}, approved by ${approvedBy}`;
}

function orderFrom(
  { scope, reason, by, targets }: ApprovalRequest,
  { number, now }: { number: number; now: number },
): OrderDocument {
  return { number, scope, reason, by, at: now, liftedAt: null, liftReason: null, targets: [...new Set(targets)] };
}

function decideOrder(
  transaction: Transaction,
  { request, now, orderOf }: Omit<Means, 'note'> & { request: ApprovalRequest },
): Approved | Refused {
  const order =
    request.action === 'kill'
      ? decideKill(transaction, orderOf(request))
      : decideLift(transaction, { ...request, now });
  return 'refused' in order ? order : { order, action: request.action };
}

function decideWithdraw(
  transaction: Transaction,
  { id, by, now, note }: { id: number; by: string; now: number; note: Note },
): { removed: number } | Refused {
  const approval = transaction.get('approvals', String(id));
  if (approval === undefined || now >= approval.expiresAt) return gone(id);
  drop(transaction, { approval, why: `withdrawn by ${by}`, note });
  return { removed: id };
}

function decideExpire(
  transaction: Transaction,
  { isOver, note }: { isOver: (approval: ApprovalDocument) => boolean; note: Note },
): void {
  for (const [, approval] of transaction.all('approvals'))
    if (isOver(approval)) drop(transaction, { approval, why: 'expired: nobody approved it', note });
}

export function drop(
  transaction: Transaction,
  { approval, why, note }: { approval: ApprovalDocument; why: string; note: Note },
): void {
  transaction.remove('approvals', String(approval.id));
  transaction.event(
    'approval',
    subjectOf(approval.id),
    `what ${approval.by} asked for (${wording(approval)}) is ${why}`,
  );
  note(subjectOf(approval.id), { step: 'dropped', why });
}

/** Orders have numbers too: in the events and the audit log the two must not be mistaken. */
function subjectOf(id: number): string {
  return `approval-${id}`;
}

function gone(id: number): Refused {
  return { refused: `approval ${id} does not wait: it was approved or withdrawn, or has expired, or never was` };
}

/** `stop everything`, `lift the order on acme` */
function wording({ action, scope }: Pick<ApprovalRequest, 'action' | 'scope'>): string {
  if (action === 'kill') return `stop ${named(scope)}`;
  return scope === everything ? 'lift the order on everything' : `lift the order on ${scope}`;
}
