import type { Inventory } from '../inventory/inventory.ts';
import type { Plan } from './plan.ts';

/** Carries a plan out. Twice is as good as once: the inventory leaves out what is done already or fits no more. */
export async function execute(inventory: Inventory, { actions, problems }: Plan): Promise<void> {
  inventory.workloads.setProblems(problems);
  if (actions.length > 0) await inventory.instances.apply(actions);
}
