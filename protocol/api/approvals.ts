import { Type, type Static } from 'typebox';
import { Instant, oneOf } from './fields.ts';

/** Asked for by one operator, waiting for another. Answered with status 202 in the place of what was asked for. */
export const Approval = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  action: oneOf('kill', 'lift'),
  /** A customer's name, or `*`. */
  scope: Type.String(),
  reason: Type.String(),
  by: Type.String(),
  at: Instant,
  expiresAt: Instant,
});
export type Approval = Static<typeof Approval>;
