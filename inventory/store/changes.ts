// What subscribers are told of a change of documents.
import type { Event } from '../../protocol/api/events.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { DocumentChange } from './cache.ts';

/** What changed, after it is on disk. `removed` where it is gone. */
export type Change =
  | { kind: 'node'; mac: Mac; removed?: true }
  | { kind: 'customer'; name: string; removed?: true }
  | { kind: 'workload'; customer: string; name: string; removed?: true }
  | { kind: 'instance'; id: string; customer: string; workload: string; node: Mac; removed?: true }
  | { kind: 'order'; number: number }
  | { kind: 'approval'; id: number; removed?: true }
  | { kind: 'image'; name: string; removed?: true }
  | { kind: 'drill'; number: number }
  | { kind: 'event'; event: Event };

/** What readers of the API may have to look at again. Sessions, leases, operators and counters show nowhere. */
export function announce(change: DocumentChange): Change[] {
  const gone = change.after === undefined ? { removed: true as const } : {};
  switch (change.collection) {
    case 'nodes':
      return [{ kind: 'node', mac: change.id, ...gone }];
    case 'customers':
      return [{ kind: 'customer', name: change.id, ...gone }];
    case 'images':
      return [{ kind: 'image', name: change.id, ...gone }];
    case 'workloads': {
      const workload = change.after ?? change.before;
      return workload === undefined
        ? []
        : [{ kind: 'workload', customer: workload.customer, name: workload.name, ...gone }];
    }
    case 'instances': {
      const instance = change.after ?? change.before;
      if (instance === undefined) return [];
      const { id, customer, workload, node } = instance;
      return [{ kind: 'instance', id, customer, workload, node, ...gone }];
    }
    case 'orders':
      return [{ kind: 'order', number: Number(change.id) }];
    case 'approvals':
      return [{ kind: 'approval', id: Number(change.id), ...gone }];
    case 'receipts':
    case 'escalations':
      return [{ kind: 'order', number: Number(change.id.slice(0, change.id.indexOf('/'))) }];
    case 'drills':
      return [{ kind: 'drill', number: Number(change.id) }];
    default:
      return [];
  }
}
