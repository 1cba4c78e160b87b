import { Type, type Static } from 'typebox';
import { CustomerName, Instant, closed, oneOf } from './fields.ts';

export const OnSilence = oneOf('stop', 'hold');
export const CustomerSpec = Type.Object(
  {
    name: CustomerName,
    /** What a node that hears no controller does with this customer: `stop` keeps the bound, `hold` gives it up. */
    onSilence: Type.Optional(OnSilence),
    /** Most memory for all of the customer's instances on one node. Default 768 MiB. */
    memoryBytes: Type.Optional(Type.Integer({ minimum: 16 * 2 ** 20, maximum: 2 ** 40 })),
    /** Most processes for all of the customer's instances on one node. Default 512. */
    processes: Type.Optional(Type.Integer({ minimum: 8, maximum: 32_768 })),
  },
  closed,
);
export type CustomerSpec = Static<typeof CustomerSpec>;

export const Customer = Type.Object({
  name: CustomerName,
  onSilence: OnSilence,
  memoryBytes: Type.Integer(),
  processes: Type.Integer(),
  /** Which range of 65,536 user ids its containers run as; never given to another customer. */
  uidBase: Type.Integer(),
  createdAt: Instant,
  /** The standing order that stops it (its own or the one for everything), if any. */
  killedBy: Type.Union([Type.Integer(), Type.Null()]),
  workloads: Type.Integer(),
  instances: Type.Integer(),
  running: Type.Integer(),
});
export type Customer = Static<typeof Customer>;
