// Who may change the rack, and the two-person rule: what one operator asked for waits here until another confirms it.
// A request and its carrying out are decided by the one writer, so two who confirm at once carry it out once.
import { createHash } from 'node:crypto';
import type { NewOperator } from '../../protocol/api.ts';
import type { Mac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { Decide } from '../store/writer.ts';
import type { ApprovalDocument, OperatorDocument, OrderDocument } from '../store/documents.ts';
import { Draft } from '../store/transaction.ts';
import type { OrderHooks, Refused } from '../contract.ts';
import type { Memory } from '../store/cache.ts';
import type { OrderBook } from '../orders/order-book.ts';
import { decideKill, decideLift, named } from '../orders/orders.ts';

/** Has the token of the state directory, is there from the first start, and alone adds and removes operators. */
export const rootOperator = 'root';
/** Every request that changes something is compared with each of them. */
const operatorLimit = 100;

/** What two operators are needed for. */
export interface Wish {
  action: 'kill' | 'lift';
  /** A customer's name or `*`. */
  scope: string;
  reason: string;
  by: string;
  /** The nodes that have to stop it; none for a lift. */
  targets: Mac[];
}

export interface CarriedOut {
  action: Wish['action'];
  order: OrderDocument;
}
/** Waits for a second operator, or is done. */
export type Answered = { approval: ApprovalDocument } | CarriedOut;

export interface People {
  /** By name. */
  operators(): OperatorDocument[];
  /** Whose token it is, by its SHA-256 in hex. */
  nameOf(tokenSha256: string): string | undefined;
  /** At each start: the token in the state directory may have been exchanged. */
  setRoot(tokenSha256: string): Promise<void>;
  add(name: string, by: string): Promise<NewOperator | Refused>;
  /** What it asked for and nobody confirmed goes with it. */
  remove(name: string, by: string): Promise<{ removed: string } | Refused>;

  /** What waits and has not expired, oldest first. */
  approvals(): ApprovalDocument[];
  approval(id: number): ApprovalDocument | undefined;
  /**
   * The first time it is stored for `waitMs`; when another operator asks for the same meanwhile, that confirms it.
   * Refused as the order itself would be, and where nobody is there who could confirm. What is carried out is in force and
   * stored as by `Inventory.kill` and `lift`.
   */
  ask(wish: Wish, waitMs: number, hooks?: OrderHooks): Promise<Answered | Refused>;
  /** `targets` as they are now. Once only: whoever comes second is refused. */
  confirm(id: number, by: string, targets: Mac[], hooks?: OrderHooks): Promise<CarriedOut | Refused>;
  withdraw(id: number, by: string): Promise<{ removed: number } | Refused>;
  /** Removes what has expired. Costs nothing where there is none. */
  expire(): Promise<void>;
}

export interface PeopleOptions {
  memory: Memory;
  book: OrderBook;
  take: <T>(decide: Decide<T>, by?: string) => Promise<T>;
  /** Milliseconds since 1970. */
  now: () => number;
  random: (bytes: number) => Buffer;
  /** Into the audit log, under the kind `approval`. */
  audit: (subject: string, body: Readonly<Record<string, unknown>>) => void;
}

/** The order that a wish becomes. */
type OrderOf = (wish: Wish) => OrderDocument;

/** What a decision adds to the audit log once it is on disk. */
type Note = (subject: string, body: Readonly<Record<string, unknown>>) => void;

export function openPeople({ memory, book, take, now, random, audit }: PeopleOptions): People {
  async function noted<T>(
    decide: (draft: Draft, note: Note) => T,
    by?: string,
    taken: (decide: Decide<T>) => Promise<T> = (each) => take(each, by),
  ): Promise<T> {
    const notes: Parameters<Note>[] = [];
    const answer = await taken((draft) => {
      // A decision may be taken again.
      notes.length = 0;
      return decide(draft, (...note) => void notes.push(note));
    });
    for (const note of notes) audit(...note);
    return answer;
  }

  /** Confirmed, in force, and on their way to disk: they cannot expire or be withdrawn any more. */
  const carriedOut = new Set<number>();

  /**
   * Who confirms carries it out: in force at once, as an order of one operator. Where it turns out that this approval does not
   * wait any more, the one writer says so, and the order is taken back.
   */
  function decided<T extends object>(
    confirmed: { approval: ApprovalDocument | undefined; by: string; targets: Mac[] },
    hooks: OrderHooks,
    decide: (draft: Draft, note: Note, orderOf: OrderOf) => T | Refused,
  ): Promise<T | Refused> {
    const { approval, targets } = confirmed;
    let orderOf: OrderOf = (wish) => orderFrom(wish, book.nextNumber(), now());
    const decision = (draft: Draft, note: Note) => decide(draft, note, orderOf);
    const { action, scope, reason } = approval ?? {};
    const mayConfirm = approval?.by !== confirmed.by && memory.get('operators', confirmed.by) !== undefined;
    if (approval === undefined || scope === undefined || reason === undefined || !mayConfirm) return noted(decision);
    const by = bothNames(approval, confirmed.by);
    let taken: ((each: Decide<T | Refused>) => Promise<T | Refused>) | undefined;
    if (action === 'kill' && book.killRefusal(scope) === undefined)
      taken = (each) =>
        book.kill({ scope, reason, by, targets }, hooks, (order) => {
          orderOf = () => order;
          return each;
        });
    else if (action === 'lift' && !('refused' in book.toBeLifted(scope)))
      taken = (each) => book.lift({ scope, reason, by }, hooks, () => each);
    carriedOut.add(approval.id);
    return noted(decision, undefined, taken).finally(() => carriedOut.delete(approval.id));
  }

  const waiting = () => [...memory.all('approvals').values()].filter(({ expiresAt }) => now() < expiresAt);
  return {
    operators: () => [...memory.all('operators').values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    nameOf: (sha256) => [...memory.all('operators').values()].find((each) => each.tokenSha256 === sha256)?.name,
    setRoot: async (sha256) => {
      if (memory.get('operators', rootOperator)?.tokenSha256 === sha256) return;
      await noted((draft, note) => {
        const known = draft.get('operators', rootOperator);
        const createdAt = known?.createdAt ?? now();
        draft.put('operators', rootOperator, { name: rootOperator, tokenSha256: sha256, createdAt });
        if (known === undefined) return;
        draft.event('operator', rootOperator, 'has another token now');
        note(`operator ${rootOperator}`, { step: 'token exchanged' });
      });
    },
    add: (name, by) => {
      const token = random(24).toString('hex');
      return noted((draft, note) => decideAdd(draft, { name, by, token, now: now() }, note), by);
    },
    remove: (name, by) => noted((draft, note) => decideRemove(draft, { name, by }, note), by),
    approvals: () => waiting().toSorted((a, b) => a.id - b.id),
    approval: (id) => waiting().find((approval) => approval.id === id),
    ask: (wish, waitMs, hooks = {}) => {
      const { by, targets, action, scope } = wish;
      const approval = waiting().find((each) => each.action === action && each.scope === scope);
      return decided<Answered>({ approval, by, targets }, hooks, (draft, note, orderOf) =>
        decideAsk(draft, { wish, now: now(), waitMs, orderOf }, note),
      );
    },
    confirm: (id, by, targets, hooks = {}) => {
      const approval = waiting().find((each) => each.id === id);
      return decided<CarriedOut>({ approval, by, targets }, hooks, (draft, note, orderOf) =>
        decideConfirm(draft, { id, by, targets, now: now(), orderOf }, note),
      );
    },
    withdraw: (id, by) =>
      carriedOut.has(id)
        ? Promise.resolve(gone(id))
        : noted((draft, note) => decideWithdraw(draft, { id, by, now: now() }, note)),
    expire: async () => {
      const isOver = ({ id, expiresAt }: ApprovalDocument) => now() >= expiresAt && !carriedOut.has(id);
      if ([...memory.all('approvals').values()].some(isOver))
        await noted((draft, note) => decideExpire(draft, { isOver, note }));
    },
  };
}

/** How tokens are known to the inventory. */
export function tokenSha256(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function decideAdd(
  draft: Draft,
  { name, by, token, now }: { name: string; by: string; token: string; now: number },
  note: Note,
): NewOperator | Refused {
  if (by !== rootOperator) return onlyRoot(by);
  if (draft.get('operators', name) !== undefined) return { refused: `operator ${name} is there already` };
  if ([...draft.all('operators')].length >= operatorLimit)
    return { refused: `there are ${operatorLimit} operators already, want no more: remove one first` };
  draft.put('operators', name, { name, tokenSha256: tokenSha256(token), createdAt: now });
  draft.event('operator', name, 'added');
  note(`operator ${name}`, { step: 'added', by });
  return { name, createdAt: now, token };
}

function decideRemove(
  draft: Draft,
  { name, by }: { name: string; by: string },
  note: Note,
): { removed: string } | Refused {
  if (by !== rootOperator) return onlyRoot(by);
  if (name === rootOperator)
    return { refused: `cannot remove ${rootOperator}: it has the token of the controller's own state directory` };
  if (draft.get('operators', name) === undefined) return { refused: `there is no operator ${name}` };
  draft.remove('operators', name);
  for (const [, approval] of draft.all('approvals')) if (approval.by === name) drop(draft, approval, 'withdrawn', note);
  draft.event('operator', name, 'removed');
  note(`operator ${name}`, { step: 'removed', by });
  return { removed: name };
}

/** Else anyone could make the second person whom the rule wants. */
function onlyRoot(by: string): Refused {
  return { refused: `${by} cannot add or remove operators, want ${rootOperator}: the token of the state directory` };
}

function decideAsk(
  draft: Draft,
  { wish, now, waitMs, orderOf }: { wish: Wish; now: number; waitMs: number; orderOf: OrderOf },
  note: Note,
): Answered | Refused {
  decideExpire(draft, { isOver: ({ expiresAt }) => now >= expiresAt, note });
  const { action, scope, reason, by } = wish;
  if (draft.get('operators', by) === undefined) return notAnOperator(by);
  const same = Array.from(draft.all('approvals'), ([, approval]) => approval).find(
    (each) => each.action === action && each.scope === scope,
  );
  if (same !== undefined) return decideConfirm(draft, { id: same.id, by, targets: wish.targets, now, orderOf }, note);
  // Nobody should wait for what cannot be carried out.
  const trial = carryOut(new Draft(draft), wish, { now, orderOf: (each) => orderFrom(each, 1, now) });
  if ('refused' in trial) return trial;
  const operators = [...draft.all('operators')].length;
  if (operators < 2)
    return {
      refused: `${wording(wish)} needs two operators and there is only ${by}: muster operator add NAME makes another`,
    };
  const id = draft.count('approvals');
  const approval = { id, action, scope, reason, by, at: now, expiresAt: now + waitMs };
  draft.put('approvals', String(id), approval);
  draft.event('approval', subjectOf(id), `${by} asks for a second operator to ${wording(wish)}: ${reason}`);
  note(subjectOf(id), { step: 'asked', action, scope, reason, by, expiresAt: approval.expiresAt });
  return { approval };
}

function decideConfirm(
  draft: Draft,
  { id, by, targets, now, orderOf }: { id: number; by: string; targets: Mac[]; now: number; orderOf: OrderOf },
  note: Note,
): CarriedOut | Refused {
  const approval = draft.get('approvals', String(id));
  if (approval === undefined || now >= approval.expiresAt) return gone(id);
  // Between the check of the token and this moment it may have been removed.
  if (draft.get('operators', by) === undefined) return notAnOperator(by);
  if (approval.by === by) return { refused: `${by} asked for this (approval ${id}): another operator must confirm it` };
  const { action, scope, reason } = approval;
  const done = carryOut(draft, { action, scope, reason, by: bothNames(approval, by), targets }, { now, orderOf });
  if ('refused' in done) {
    drop(draft, approval, `no longer possible: ${done.refused}`, note);
    return done;
  }
  draft.remove('approvals', String(id));
  draft.event('approval', subjectOf(id), `${by} confirms what ${approval.by} asked for: ${wording(approval)}`);
  note(subjectOf(id), {
    step: 'confirmed',
    action: approval.action,
    scope: approval.scope,
    by,
    order: done.order.number,
  });
  return done;
}

function notAnOperator(name: string): Refused {
  return { refused: `${name} is no operator (any more)` };
}

function bothNames({ by }: ApprovalDocument, confirmedBy: string): string {
  return `${by}, confirmed by ${confirmedBy}`;
}

function orderFrom({ scope, reason, by, targets }: Wish, number: number, now: number): OrderDocument {
  return { number, scope, reason, by, at: now, liftedAt: null, liftReason: null, targets: [...new Set(targets)] };
}

function carryOut(draft: Draft, wish: Wish, { now, orderOf }: { now: number; orderOf: OrderOf }): CarriedOut | Refused {
  const order = wish.action === 'kill' ? decideKill(draft, orderOf(wish)) : decideLift(draft, wish, now);
  return 'refused' in order ? order : { order, action: wish.action };
}

function decideWithdraw(
  draft: Draft,
  { id, by, now }: { id: number; by: string; now: number },
  note: Note,
): { removed: number } | Refused {
  const approval = draft.get('approvals', String(id));
  if (approval === undefined || now >= approval.expiresAt) return gone(id);
  drop(draft, approval, `withdrawn by ${by}`, note);
  return { removed: id };
}

function decideExpire(
  draft: Draft,
  { isOver, note }: { isOver: (approval: ApprovalDocument) => boolean; note: Note },
): void {
  for (const [, approval] of draft.all('approvals'))
    if (isOver(approval)) drop(draft, approval, 'expired: nobody confirmed it', note);
}

function drop(draft: Draft, approval: ApprovalDocument, why: string, note: Note): void {
  draft.remove('approvals', String(approval.id));
  draft.event('approval', subjectOf(approval.id), `what ${approval.by} asked for (${wording(approval)}) is ${why}`);
  note(subjectOf(approval.id), { step: 'dropped', why });
}

/** Orders have numbers too: in the events and the audit log the two must not be mistaken. */
function subjectOf(id: number): string {
  return `approval-${id}`;
}

function gone(id: number): Refused {
  return { refused: `approval ${id} does not wait: it was confirmed or withdrawn, or has expired, or never was` };
}

/** `stop everything`, `lift the order on acme` */
function wording({ action, scope }: Pick<Wish, 'action' | 'scope'>): string {
  if (action === 'kill') return `stop ${named(scope)}`;
  return scope === everything ? 'lift the order on everything' : `lift the order on ${scope}`;
}
