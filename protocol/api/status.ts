import { Type, type Static } from 'typebox';
import { Drill } from './drills.ts';
import { Instant, oneOf } from './fields.ts';

export const Status = Type.Object({
  version: Type.String(),
  startedAt: Instant,
  /** Process start until serving, ms. */
  startupMs: Type.Number(),
  rack: Type.String(),
  nodes: Type.Record(Type.String(), Type.Integer()),
  customers: Type.Integer(),
  instances: Type.Integer(),
  running: Type.Integer(),
  /** Kill orders that stand, without that of a drill under way: a drill is no emergency. */
  standingOrders: Type.Integer(),
  /** What the controller itself is in trouble with, or lost, each in one sentence. */
  problems: Type.Array(Type.String()),
  /** Lifting, and stopping everything, need two different operators. */
  twoPersonRule: Type.Boolean(),
  /** The last one that is over. */
  lastDrill: Type.Union([Drill, Type.Null()]),
  /** Others who answer boards on the rack's segment: there must be none. Left out while there is none. */
  otherServers: Type.Optional(
    Type.Array(Type.Object({ address: Type.String(), kind: oneOf('muster', 'dhcp') }), { maxItems: 16 }),
  ),
});
export type Status = Static<typeof Status>;
