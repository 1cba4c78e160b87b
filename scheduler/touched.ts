// What changed since a plan was begun. A plan is made of one picture of the inventory, in slices: when it is ready, a node
// may be back, a workload may have been changed, an instance may have failed. What the plan says of those is left to the
// next pass, with all that it says of the same workload: one step may stand for another ("instead of"). So a plan made in
// slices acts on no more than what one made at once would have found the same. The inventory looks at each step once more
// in the transaction, and leaves out what does not fit there.
import type { Placement } from '../inventory/customers/placement.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { Change } from '../inventory/store/changes.ts';

export class Touched {
  readonly #names = new Set<string>();
  /** Workloads of which a step was left out. */
  readonly #left = new Set<string>();

  clear(): void {
    this.#names.clear();
    this.#left.clear();
  }

  /** Whether the scheduler's picture of the inventory has it. */
  note(change: Change): boolean {
    const name = nameOf(change);
    if (name !== undefined) this.#names.add(name);
    return name !== undefined;
  }

  /** Without the steps that are left to the next pass. */
  without(actions: Placement[], inventory: Inventory): Placement[] {
    if (this.#names.size === 0) return actions;
    const steps = actions.map((action) => {
      const { customer, workload, node } =
        (action.kind === 'place' ? action : inventory.instances.get(action.id)) ?? {};
      const of = `${customer}/${workload}`;
      const names = [`customer ${customer}`, `workload ${of}`, `node ${node}`, `instance ${action.id}`];
      const isKilled = this.#names.has('order') && inventory.orders.killedBy(customer ?? '') !== undefined;
      if (isKilled || names.some((name) => this.#names.has(name))) this.#left.add(of);
      return { action, of };
    });
    return steps.flatMap(({ action, of }) => (this.#left.has(of) ? [] : [action]));
  }
}

/** Undefined for what no plan reads. */
function nameOf(change: Change): string | undefined {
  switch (change.kind) {
    case 'node':
      return `node ${change.mac}`;
    case 'customer':
      return `customer ${change.name}`;
    case 'workload':
      return `workload ${change.customer}/${change.name}`;
    case 'instance':
      return `instance ${change.id}`;
    case 'order':
      // Whose it is, and whether it stands, shows when the plan is ready.
      return 'order';
    default:
      return undefined;
  }
}
