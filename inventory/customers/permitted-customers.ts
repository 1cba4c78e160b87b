// Which customers may run on a node: what its permits list, and what it is told to run. Pure.
import type { Desired } from '../../protocol/api/agent.ts';
import { instancesPerNodeLimit } from '../../protocol/desired-state.ts';
import type { Mac } from '../../protocol/mac.ts';
import { customersPerNodeLimit, everything, type PermittedCustomer } from '../../protocol/roll-call.ts';
import type { Cache, View } from '../store/cache.ts';

/** The order that stops this customer: its own or the one for everything. */
export function killedBy(view: View, customer: string): number | undefined {
  return (view.get('kill', customer) ?? view.get('kill', everything))?.number;
}

/** Customers with instances on that node who may run there, sorted, at most as many as a permit has room for. */
export function permitted(cache: Cache, mac: Mac): PermittedCustomer[] {
  const node = cache.get('nodes', mac);
  if (node === undefined || node.fenced || cache.get('kill', everything) !== undefined) return [];
  const names = new Set(cache.instancesOn(mac).map(({ customer }) => customer));
  return [...names]
    .filter((name) => killedBy(cache, name) === undefined)
    .toSorted()
    .slice(0, customersPerNodeLimit)
    .flatMap((name) => {
      const customer = cache.get('customers', name);
      return customer === undefined ? [] : [{ customer: name, hold: customer.onSilence === 'hold' }];
    });
}

export function desired(cache: Cache, mac: Mac): Desired {
  const customers = permitted(cache, mac).flatMap(({ customer }) => cache.get('customers', customer) ?? []);
  const names = new Set(customers.map(({ name }) => name));
  return {
    generation: Number(cache.generation(mac)),
    customers: customers.map(({ name, uidBase, memoryBytes, processes, onSilence }) => ({
      name,
      uidBase,
      memoryBytes,
      processes,
      onSilence,
    })),
    instances: cache
      .instancesOn(mac)
      .filter(({ customer }) => names.has(customer))
      .slice(0, instancesPerNodeLimit)
      .map((instance) => instance.desired),
  };
}
