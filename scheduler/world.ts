// The scheduler's picture of the inventory.
import { resolve } from '../inventory/customers/configurations.ts';
import { workloadLimits } from '../inventory/customers/workload-limits.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { World } from './plan.ts';

export function readWorld(inventory: Inventory): World {
  return {
    nodes: inventory.nodes.all().map(({ mac, name, state, fenced, unreadyAt, since, facts }) => ({
      mac,
      name,
      state,
      fenced,
      unreadyAt,
      since,
      memoryBytes: facts?.memoryBytes ?? 0,
    })),
    customers: inventory.customers.all().map(({ name, memoryBytes, processes }) => ({
      name,
      memoryBytes,
      processes,
      killed: inventory.orders.killedBy(name) !== undefined,
    })),
    workloads: inventory.workloads.all().map((workload) => {
      const { customer, name, spec, specRevision, nodes } = workload;
      const { memoryBytes, processes } = workloadLimits(spec);
      const { replicas, port } = spec;
      const only = nodes === undefined ? {} : { onlyOn: new Set(nodes) };
      return {
        customer,
        name,
        replicas,
        specRevision,
        memoryBytes,
        processes,
        needsPort: port !== undefined,
        unusable: resolve(workload).problem,
        ...only,
      };
    }),
    instances: inventory.instances.all().map((instance) => {
      const { id, customer, workload, node, port, specRevision, attempt, state, reason, placedAt, since } = instance;
      const { memoryBytes, processes } = instance.desired;
      return {
        id,
        customer,
        workload,
        node,
        port,
        specRevision,
        attempt,
        memoryBytes,
        processes,
        state,
        reason,
        placedAt,
        since,
      };
    }),
    nextInstanceNumber: inventory.instances.nextNumber(),
  };
}
