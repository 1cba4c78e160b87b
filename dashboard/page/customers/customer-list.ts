// Customers, what they run, and the button that stops them.
import {
  customersByName,
  instancesByCustomer,
  orderOf,
  workloadsOf,
  type Changes,
  type RackState,
} from '../rack-state.ts';
import { customerEntry, type CustomerEntry, type CustomerEntryOptions } from './customer-entry.ts';

/** With so few customers, all are shown open. */
const openLimit = 4;

export interface CustomerListOptions extends Omit<CustomerEntryOptions, 'name' | 'open' | 'toggled'> {
  state: RackState;
  list: HTMLElement;
  empty: HTMLElement;
}

export interface CustomerList {
  draw(changes: Changes): void;
}

export function customerList(options: CustomerListOptions): CustomerList {
  const { state, list, empty } = options;
  const entries = new Map<string, CustomerEntry>();

  function draw(changes: Changes): void {
    if (!changes.everything && !changes.kills && changes.customers.size === 0) return;
    const customers = customersByName(state);
    const instances = instancesByCustomer(state);
    empty.hidden = customers.length > 0;
    for (const [name, entry] of entries) {
      if (state.customers.has(name)) continue;
      entry.root.remove();
      entries.delete(name);
    }
    let before: HTMLElement | undefined;
    for (const { name } of customers) {
      const entry = entryOf(name, customers.length <= openLimit);
      const follows = before === undefined ? list.firstElementChild : before.nextElementSibling;
      if (follows !== entry.root) list.insertBefore(entry.root, follows);
      before = entry.root;
      if (changes.everything || changes.kills || changes.customers.has(name)) drawEntry(name, instances);
    }
  }

  function entryOf(name: string, open: boolean): CustomerEntry {
    const known = entries.get(name);
    if (known !== undefined) return known;
    const toggled = () => drawEntry(name, instancesByCustomer(state));
    const entry = customerEntry({ ...options, name, open, toggled });
    entries.set(name, entry);
    return entry;
  }

  function drawEntry(name: string, instances: ReturnType<typeof instancesByCustomer>): void {
    const customer = state.customers.get(name);
    if (customer === undefined) return;
    entries.get(name)?.draw({
      customer,
      order: orderOf(state, name),
      workloads: workloadsOf(state, name),
      instances: instances.get(name) ?? [],
    });
  }

  return { draw };
}
