import type { Placement } from '../inventory/customers/placement.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { Plan } from './plan.ts';

/** What one transaction may cost: some milliseconds of the event loop. To place is four times the work of a removal. */
const costLimit = 250;
const costs = { place: 10, drain: 2.5, remove: 2.5 };

interface PlannedSteps extends Pick<Plan, 'actions' | 'problems'> {
  /** Which of the next steps are to be done as things are now; all where left out. */
  still?: (steps: Placement[]) => Placement[];
}

/**
 * Carries a plan out, in some transactions. Twice is as good as once: the inventory leaves out what is done already or fits
 * no more. Resolves with whether all was done.
 */
export async function execute(
  inventory: Inventory,
  { actions, problems, still = (steps) => steps }: PlannedSteps,
): Promise<boolean> {
  let applied = 0;
  try {
    for (const steps of parts(actions)) applied += (await inventory.instances.apply(still(steps))).applied;
  } finally {
    // Last: it is news of the workloads, and would look like a change of them.
    inventory.workloads.setProblems(problems);
  }
  return applied === actions.length;
}

function* parts(actions: Placement[]): Iterable<Placement[]> {
  let part: Placement[] = [];
  let cost = 0;
  for (const action of actions) {
    part.push(action);
    cost += costs[action.kind];
    if (cost < costLimit) continue;
    yield part;
    part = [];
    cost = 0;
  }
  if (part.length > 0) yield part;
}
