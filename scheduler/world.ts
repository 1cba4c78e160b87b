// The scheduler's picture of the inventory, as it is at one instant.
import { resolve } from '../inventory/customers/configurations.ts';
import { wantedReplicas, workloadLimits } from '../inventory/customers/workload-limits.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { InstanceDocument, NodeDocument, WorkloadDocument } from '../inventory/store/documents.ts';
import type { NodePlacement } from '../protocol/api/nodes.ts';
import type { Mac } from '../protocol/mac.ts';
import { labelsOf, type Labels } from '../protocol/workload/labels.ts';
import { filledUpdate, type FilledUpdate } from '../protocol/workload/update.ts';

export interface WorldNode extends Pick<NodeDocument, 'mac' | 'name' | 'state' | 'fenced' | 'unreadyAt' | 'since'> {
  memoryBytes: number;
  /** What an operator says of it: whether it gets instances, keeps its own, or gives them away. */
  placement: NodePlacement;
  labels: Labels;
}

export interface WorldCustomer {
  name: string;
  /** Most for all of its instances on one node. */
  memoryBytes: number;
  processes: number;
  killed: boolean;
  /** Its instances run on where their node is not heard. */
  holds: boolean;
}

export interface WorldWorkload {
  customer: string;
  name: string;
  /** To run now: none of one that is stopped. */
  replicas: number;
  specRevision: number;
  memoryBytes: number;
  processes: number;
  needsPort: boolean;
  update: FilledUpdate;
  /** Only on nodes with all of them. */
  labels: Labels;
  /** A label, over whose values it is spread before it is spread over nodes. */
  spread?: string | undefined;
  /** Why no board may be asked to run it, deployed before there was such a rule: in words. */
  readonly unusable?: string | undefined;
  /** One on each of these nodes and none elsewhere; anywhere where left out. */
  onlyOn?: ReadonlySet<Mac>;
}

/** Documents never change: there may be very many, and a picture of them needs no copies. */
export interface WorldInstance extends Pick<
  InstanceDocument,
  | 'id'
  | 'customer'
  | 'workload'
  | 'node'
  | 'port'
  | 'specRevision'
  | 'attempt'
  | 'state'
  | 'reason'
  | 'placedAt'
  | 'since'
  | 'ready'
  | 'draining'
> {
  readonly restarts?: number;
  readonly desired: { readonly memoryBytes: number; readonly processes: number };
}

export interface World {
  nodes: WorldNode[];
  customers: WorldCustomer[];
  workloads: WorldWorkload[];
  instances: WorldInstance[];
  nextInstanceNumber: number;
}

export function readWorld(inventory: Inventory): World {
  return {
    nodes: inventory.nodes.all().map(({ mac, name, state, fenced, unreadyAt, since, facts, placement, labels }) => ({
      mac,
      name,
      state,
      fenced,
      unreadyAt,
      since,
      memoryBytes: facts?.memoryBytes ?? 0,
      placement: placement ?? 'open',
      labels: labelsOf({ name, facts, labels }),
    })),
    customers: inventory.customers.all().map(({ name, memoryBytes, processes, onSilence }) => ({
      name,
      memoryBytes,
      processes,
      holds: onSilence === 'hold',
      killed: inventory.orders.killedBy(name) !== undefined,
    })),
    workloads: inventory.workloads.all().map(workloadOf),
    instances: inventory.instances.all(),
    nextInstanceNumber: inventory.instances.nextNumber(),
  };
}

function workloadOf(workload: WorkloadDocument): WorldWorkload {
  const { customer, name, spec, specRevision, nodes } = workload;
  const { memoryBytes, processes } = workloadLimits(spec);
  return {
    customer,
    name,
    replicas: wantedReplicas(spec),
    specRevision,
    memoryBytes,
    processes,
    needsPort: spec.port !== undefined,
    update: filledUpdate(spec),
    labels: spec.placement?.labels ?? {},
    spread: spec.placement?.spread,
    // Hashes its configuration: asked for only when it is about to be placed.
    get unusable() {
      return resolve(workload).problem;
    },
    ...(nodes === undefined ? {} : { onlyOn: new Set(nodes) }),
  };
}
