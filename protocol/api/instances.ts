import { Type, type Static } from 'typebox';
import { CustomerName, InstanceId, Instant, MacAddress, WorkloadName, oneOf } from './fields.ts';

/** As the node sees it. `stopped` says why in `reason`: killed, silence, exited, removed. */
export const instanceStates = ['placed', 'fetching', 'starting', 'running', 'exited', 'stopped', 'failed'] as const;
export type InstanceState = (typeof instanceStates)[number];

export const Instance = Type.Object({
  id: InstanceId,
  customer: CustomerName,
  workload: WorkloadName,
  node: MacAddress,
  nodeName: Type.String(),
  state: oneOf(...instanceStates),
  reason: Type.String(),
  since: Instant,
  restarts: Type.Integer(),
  /** Where its port can be reached, `http://10.77.0.51:20000`, or null. */
  endpoint: Type.Union([Type.String(), Type.Null()]),
});
export type Instance = Static<typeof Instance>;
