// Operators: who may ask, each known by a token of their own, with a role and perhaps an end.
import { createHash } from 'node:crypto';
import type { NewOperator, Operator, OperatorSpec } from '../../protocol/api/operators.ts';
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Transact } from '../store/writer.ts';
import { unknownCustomer } from '../customers/unknown.ts';
import { drop } from './approvals.ts';
import { type Note, noted } from './audited.ts';
import { isOver, rootOperator, shownOperator } from './roles.ts';

/** Every request is compared with each of them. */
const operatorLimit = 1_000;

export interface OperatorBook {
  /** By name, those whose time is over too. */
  all(): Operator[];
  /** Whose token it is, by its SHA-256 in hex; undefined where it is nobody's, or its time is over. */
  find(tokenSha256: string): Operator | undefined;
  /** At each start: the token in the state directory may have been exchanged. */
  setRoot(tokenSha256: string): Promise<void>;
  add(spec: OperatorSpec, by: string): Promise<NewOperator | Refused>;
  /** What it asked for and nobody approved goes with it. */
  remove(name: string, by: string): Promise<{ removed: string } | Refused>;
}

export function operatorBook({
  cache,
  transact,
  now,
  random,
  audit,
}: {
  cache: Cache;
  transact: Transact;
  /** Milliseconds since 1970. */
  now: () => number;
  random: (bytes: number) => Buffer;
  audit: Note;
}): OperatorBook {
  const all = () => [...cache.all('operators').values()];
  const find = (sha256: string): Operator | undefined => {
    const found = all().find((each) => each.tokenSha256 === sha256);
    return found === undefined || isOver(found, now()) ? undefined : shownOperator(found);
  };
  return {
    all: () =>
      all()
        .map(shownOperator)
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    find,
    setRoot: async (sha256) => {
      if (cache.get('operators', rootOperator)?.tokenSha256 === sha256) return;
      await noted((transaction, note) => decideRoot(transaction, { sha256, now: now(), note }), { audit, transact });
    },
    add: (spec, by) => {
      const token = random(24).toString('hex');
      return noted((transaction, note) => decideAdd(transaction, { spec, by, token, now: now(), note }), {
        audit,
        transact: (decide) => transact(decide, by),
      });
    },
    remove: (name, by) =>
      noted((transaction, note) => decideRemove(transaction, { name, by, note }), {
        audit,
        transact: (decide) => transact(decide, by),
      }),
  };
}

/** How tokens are known to the inventory. */
export function tokenSha256(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function decideRoot(
  transaction: Transaction,
  { sha256, now, note }: { sha256: string; now: number; note: Note },
): void {
  const known = transaction.get('operators', rootOperator);
  const createdAt = known?.createdAt ?? now;
  transaction.put('operators', rootOperator, { name: rootOperator, tokenSha256: sha256, createdAt });
  if (known === undefined) return;
  transaction.event('operator', rootOperator, 'has another token now');
  note(`operator ${rootOperator}`, { step: 'token exchanged' });
}

function decideAdd(
  transaction: Transaction,
  { spec, by, token, now, note }: { spec: OperatorSpec; by: string; token: string; now: number; note: Note },
): NewOperator | Refused {
  const { name, role = 'operator', customer, expiresAt } = spec;
  if (by !== rootOperator) return onlyRoot(by);
  if (transaction.get('operators', name) !== undefined) return { refused: `operator ${name} is there already` };
  if ([...transaction.all('operators')].length >= operatorLimit)
    return { refused: `there are ${operatorLimit} operators already, want no more: remove one first` };
  if ((role === 'deployer') !== (customer !== undefined))
    return {
      refused:
        customer === undefined
          ? 'a deployer deploys for one customer: want its name as "customer"'
          : `a ${role} is of no customer: want the role deployer for one of ${customer}`,
    };
  if (customer !== undefined && transaction.get('customers', customer) === undefined) return unknownCustomer(customer);
  if (expiresAt !== undefined && expiresAt <= now) return { refused: 'its token would be over already' };
  const operator = {
    name,
    tokenSha256: tokenSha256(token),
    createdAt: now,
    role,
    ...(customer === undefined ? {} : { customer }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
  transaction.put('operators', name, operator);
  const whose = customer === undefined ? '' : ` of ${customer}`;
  transaction.event('operator', name, role === 'operator' ? 'added' : `added as ${role}${whose}`);
  note(`operator ${name}`, { step: 'added', by, role, customer: customer ?? null, expiresAt: expiresAt ?? null });
  return { ...shownOperator(operator), token };
}

function decideRemove(
  transaction: Transaction,
  { name, by, note }: { name: string; by: string; note: Note },
): { removed: string } | Refused {
  if (by !== rootOperator) return onlyRoot(by);
  if (name === rootOperator)
    return { refused: `cannot remove ${rootOperator}: it has the token of the controller's own state directory` };
  if (transaction.get('operators', name) === undefined) return { refused: `there is no operator ${name}` };
  transaction.remove('operators', name);
  for (const [, approval] of transaction.all('approvals'))
    if (approval.by === name) drop(transaction, { approval, why: 'withdrawn', note });
  transaction.event('operator', name, 'removed');
  note(`operator ${name}`, { step: 'removed', by });
  return { removed: name };
}

/** Else anyone could make the second person whom the rule wants. */
function onlyRoot(by: string): Refused {
  return { refused: `${by} cannot add or remove operators, want ${rootOperator}: the token of the state directory` };
}
