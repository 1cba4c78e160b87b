import { Type, type Static } from 'typebox';
import { Instant } from './fields.ts';

export const Event = Type.Object({
  id: Type.Integer(),
  at: Instant,
  /** `node`, `customer`, `workload`, `instance`, `image`, `kill`, `drill`, `boot`, `controller` */
  kind: Type.String(),
  /** What it is about: a MAC, a customer, `acme/web`, an instance's id, an order's number. */
  subject: Type.String(),
  message: Type.String(),
});
export type Event = Static<typeof Event>;
