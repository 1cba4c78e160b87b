import { Type, type Static } from 'typebox';
import { Instant, oneOf, told } from './fields.ts';

export const Approval = Type.Object(
  {
    id: Type.Integer({ minimum: 1 }),
    action: oneOf('kill', 'lift'),
    scope: told('A customer’s name, or `*`.', Type.String()),
    reason: Type.String(),
    by: Type.String(),
    at: Instant,
    expiresAt: Instant,
  },
  {
    title: 'Approval',
    description:
      'Asked for by one operator, waiting for another. Answered with status 202 in the place of what was asked for.',
  },
);
export type Approval = Static<typeof Approval>;
