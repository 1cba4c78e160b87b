// What an operator's document says of its role. Pure.
import type { Approval } from '../../protocol/api/approvals.ts';
import type { Operator } from '../../protocol/api/operators.ts';
import type { OperatorDocument } from '../store/documents.ts';

/** Has the token of the state directory, is there from the first start, and alone adds and removes operators. */
export const rootOperator = 'root';
/** As everybody may see it. `root` is who has the token of the state directory. */
export function shownOperator({ name, createdAt, role, customer, expiresAt }: OperatorDocument): Operator {
  return {
    name,
    createdAt,
    role: name === rootOperator ? 'root' : (role ?? 'operator'),
    customer: customer ?? null,
    expiresAt: expiresAt ?? null,
  };
}

export function isOver({ expiresAt }: OperatorDocument, now: number): boolean {
  return expiresAt !== undefined && now >= expiresAt;
}

/** Who may be the first or the second of two for this. A stopper stops, and lifts nothing. */
function isDecider({ role }: Operator, action: Approval['action']): boolean {
  return role === 'root' || role === 'operator' || (role === 'stopper' && action === 'kill');
}

/** Those of now who may decide about it. */
export function decidersOf(
  operators: Iterable<[string, OperatorDocument]>,
  { action, now }: { action: Approval['action']; now: number },
): string[] {
  return Array.from(operators, ([, each]) => each)
    .filter((each) => !isOver(each, now) && isDecider(shownOperator(each), action))
    .map(({ name }) => name);
}
