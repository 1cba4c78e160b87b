import { Type, type Static } from 'typebox';
import { Approval } from './approvals.ts';
import { Customer } from './customers.ts';
import { Drill } from './drills.ts';
import { Event } from './events.ts';
import { Instance } from './instances.ts';
import { Node } from './nodes.ts';
import { KillOrder } from './orders.ts';
import { Status } from './status.ts';
import { Workload } from './workloads.ts';

/**
 * Server-sent events of `GET /v1/stream`. First one `snapshot`, then each change as it happens:
 *   snapshot {status, nodes, customers, workloads, instances, kills, drills, approvals, events}
 *   node Node · node-removed {mac} · customer Customer · customer-removed {name} · workload Workload · workload-removed {customer, name}
 *   instance Instance · instance-removed {id} · kill KillOrder · drill Drill · approval Approval · approval-removed {id} · event Event · samples {[mac]: Sample} (once a second, changed ones only)
 * A comment line goes out every 15 s. A client that reads too slowly is disconnected and starts again from a snapshot.
 */
export const Snapshot = Type.Object({
  status: Status,
  nodes: Type.Array(Node),
  customers: Type.Array(Customer),
  workloads: Type.Array(Workload),
  instances: Type.Array(Instance),
  kills: Type.Array(KillOrder),
  /** Those that wait. */
  approvals: Type.Array(Approval),
  /** The last 20, newest first. */
  drills: Type.Array(Drill),
  events: Type.Array(Event),
});
export type Snapshot = Static<typeof Snapshot>;
