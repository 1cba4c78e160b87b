// Who may change the rack, and the two-person rule: what one operator asked for waits here until another confirms it.
// A request and its carrying out are decided by the one writer, so two who confirm at once carry it out once.
import { createHash } from 'node:crypto';
import type { NewOperator } from '../protocol/api.ts';
import type { Mac } from '../protocol/mac.ts';
import { everything } from '../protocol/roll-call.ts';
import type { Decide } from './decisions.ts';
import type { ApprovalDocument, OperatorDocument, OrderDocument } from './documents.ts';
import { Draft } from './draft.ts';
import type { Refused } from './inventory.ts';
import type { Memory } from './memory.ts';
import { decideKill, decideLift, named } from './orders.ts';

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
   * Refused as the order itself would be, and where nobody is there who could confirm.
   */
  ask(wish: Wish, waitMs: number): Promise<Answered | Refused>;
  /** `targets` as they are now. Once only: whoever comes second is refused. */
  confirm(id: number, by: string, targets: Mac[]): Promise<CarriedOut | Refused>;
  withdraw(id: number, by: string): Promise<{ removed: number } | Refused>;
  /** Removes what has expired. Costs nothing where there is none. */
  expire(): Promise<void>;
}

export interface PeopleOptions {
  memory: Memory;
  take: <T>(decide: Decide<T>, by?: string) => Promise<T>;
  /** Milliseconds since 1970. */
  now: () => number;
  random: (bytes: number) => Buffer;
}

export function openPeople({ memory, take, now, random }: PeopleOptions): People {
  const waiting = () => [...memory.all('approvals').values()].filter(({ expiresAt }) => now() < expiresAt);
  return {
    operators: () => [...memory.all('operators').values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    nameOf: (sha256) => [...memory.all('operators').values()].find((each) => each.tokenSha256 === sha256)?.name,
    setRoot: async (sha256) => {
      if (memory.get('operators', rootOperator)?.tokenSha256 === sha256) return;
      await take((draft) => {
        const createdAt = draft.get('operators', rootOperator)?.createdAt ?? now();
        draft.put('operators', rootOperator, { name: rootOperator, tokenSha256: sha256, createdAt });
      });
    },
    add: (name, by) => {
      const token = random(24).toString('hex');
      return take((draft) => decideAdd(draft, { name, by, token, now: now() }), by);
    },
    remove: (name, by) => take((draft) => decideRemove(draft, name, by), by),
    approvals: () => waiting().toSorted((a, b) => a.id - b.id),
    approval: (id) => waiting().find((approval) => approval.id === id),
    ask: (wish, waitMs) => take((draft) => decideAsk(draft, wish, { now: now(), waitMs })),
    confirm: (id, by, targets) => take((draft) => decideConfirm(draft, { id, by, targets, now: now() })),
    withdraw: (id, by) => take((draft) => decideWithdraw(draft, { id, now: now() }), by),
    expire: async () => {
      if (memory.all('approvals').size > waiting().length) await take((draft) => decideExpire(draft, now()));
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
): NewOperator | Refused {
  if (by !== rootOperator) return onlyRoot(by);
  if (draft.get('operators', name) !== undefined) return { refused: `operator ${name} is there already` };
  if ([...draft.all('operators')].length >= operatorLimit)
    return { refused: `there are ${operatorLimit} operators already, want no more: remove one first` };
  draft.put('operators', name, { name, tokenSha256: tokenSha256(token), createdAt: now });
  draft.event('operator', name, 'added');
  return { name, createdAt: now, token };
}

function decideRemove(draft: Draft, name: string, by: string): { removed: string } | Refused {
  if (by !== rootOperator) return onlyRoot(by);
  if (name === rootOperator)
    return { refused: `cannot remove ${rootOperator}: it has the token of the controller's own state directory` };
  if (draft.get('operators', name) === undefined) return { refused: `there is no operator ${name}` };
  draft.remove('operators', name);
  for (const [id, approval] of draft.all('approvals')) if (approval.by === name) drop(draft, id, approval, 'withdrawn');
  draft.event('operator', name, 'removed');
  return { removed: name };
}

/** Else anyone could make the second person whom the rule wants. */
function onlyRoot(by: string): Refused {
  return { refused: `${by} cannot add or remove operators, want ${rootOperator}: the token of the state directory` };
}

function decideAsk(draft: Draft, wish: Wish, { now, waitMs }: { now: number; waitMs: number }): Answered | Refused {
  decideExpire(draft, now);
  const { action, scope, reason, by } = wish;
  const same = Array.from(draft.all('approvals'), ([, approval]) => approval).find(
    (each) => each.action === action && each.scope === scope,
  );
  if (same !== undefined) return decideConfirm(draft, { id: same.id, by, targets: wish.targets, now });
  // Nobody should wait for what cannot be carried out.
  const trial = carryOut(new Draft(draft), wish, now);
  if ('refused' in trial) return trial;
  const operators = [...draft.all('operators')].length;
  if (operators < 2)
    return {
      refused: `${wording(wish)} needs two operators and there is only ${by}: muster operator add NAME makes another`,
    };
  const id = draft.count('approvals');
  const approval = { id, action, scope, reason, by, at: now, expiresAt: now + waitMs };
  draft.put('approvals', String(id), approval);
  draft.event('approval', `approval-${id}`, `${by} asks for a second operator to ${wording(wish)}: ${reason}`);
  return { approval };
}

function decideConfirm(
  draft: Draft,
  { id, by, targets, now }: { id: number; by: string; targets: Mac[]; now: number },
): CarriedOut | Refused {
  const approval = draft.get('approvals', String(id));
  if (approval === undefined || now >= approval.expiresAt) return gone(id);
  if (approval.by === by) return { refused: `${by} asked for this (approval ${id}): another operator must confirm it` };
  const done = carryOut(draft, { ...approval, by: `${approval.by}, confirmed by ${by}`, targets }, now);
  if ('refused' in done) {
    drop(draft, String(id), approval, `no longer possible: ${done.refused}`);
    return done;
  }
  draft.remove('approvals', String(id));
  draft.event('approval', `approval-${id}`, `${by} confirms what ${approval.by} asked for: ${wording(approval)}`);
  return done;
}

function carryOut(draft: Draft, wish: Wish, now: number): CarriedOut | Refused {
  const order = wish.action === 'kill' ? decideKill(draft, wish, now) : decideLift(draft, wish, now);
  return 'refused' in order ? order : { order, action: wish.action };
}

function decideWithdraw(draft: Draft, { id, now }: { id: number; now: number }): { removed: number } | Refused {
  const approval = draft.get('approvals', String(id));
  if (approval === undefined || now >= approval.expiresAt) return gone(id);
  drop(draft, String(id), approval, 'withdrawn');
  return { removed: id };
}

function decideExpire(draft: Draft, now: number): void {
  for (const [id, approval] of draft.all('approvals'))
    if (now >= approval.expiresAt) drop(draft, id, approval, 'expired: nobody confirmed it');
}

function drop(draft: Draft, id: string, approval: ApprovalDocument, why: string): void {
  draft.remove('approvals', id);
  draft.event('approval', `approval-${id}`, `what ${approval.by} asked for (${wording(approval)}) is ${why}`);
}

function gone(id: number): Refused {
  return { refused: `approval ${id} does not wait: it was confirmed or withdrawn, or has expired, or never was` };
}

/** `stop everything`, `lift the order on acme` */
function wording({ action, scope }: Pick<Wish, 'action' | 'scope'>): string {
  if (action === 'kill') return `stop ${named(scope)}`;
  return scope === everything ? 'lift the order on everything' : `lift the order on ${scope}`;
}
