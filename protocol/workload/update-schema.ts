import { Type, type Static } from 'typebox';
import { closed, told } from '../api/fields.ts';

const Count = Type.Integer({ minimum: 0, maximum: 10_000 });

export const Update = Type.Object(
  {
    maxSurge: Type.Optional(
      told('How many more than wanted there may be while a change rolls: 1 where left out.', Count),
    ),
    maxUnavailable: Type.Optional(
      told(
        'How many fewer than wanted may be ready meanwhile. Where left out none, but for one at a time where the rack has no place for one more.',
        Count,
      ),
    ),
    deadlineMs: Type.Optional(
      told(
        'From its placement until a new instance must be ready, else it is told and the change halts: 3 minutes where left out.',
        Type.Integer({ minimum: 1_000, maximum: 86_400_000 }),
      ),
    ),
    drainMs: Type.Optional(
      told(
        'From when an instance is no longer called ready until it is asked to end: 5 s where left out, nothing without a port.',
        Type.Integer({ minimum: 0, maximum: 3_600_000 }),
      ),
    ),
  },
  { ...closed, title: 'Update', description: 'How a change replaces instances.' },
);
export type Update = Static<typeof Update>;
