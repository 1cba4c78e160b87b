// The scheduler decides which instance runs where. `plan` is pure: the world in, steps and complaints out; execute.ts
// carries steps out, loop.ts says when. It may import inventory/ and protocol/ only.
//
// One pass over the workloads, each on its own (workload-plan.ts). What a pass removes still counts as used until the next
// pass, so a step never relies on another's success.
import type { Placement } from '../inventory/customers/placement.ts';
import { Capacity, compare } from './capacity.ts';
import { inOneGo, itemsPerLook, type Sliced, sorted } from '../inventory/slices.ts';
import { Pass, Placer } from './pass.ts';
import { planWorkload } from './workload-plan.ts';
import type { World, WorldInstance } from './world.ts';

export interface Plan {
  actions: Placement[];
  /** By `<customer>/<workload>`: what keeps it from running as wanted, in words. */
  problems: Map<string, string>;
  /** From when on the same world would be planned otherwise; Infinity where only a change of it can do that. */
  dueAt: number;
}

/** `now` in ms since 1970, as are the world's instants. */
export function plan(world: World, now: number): Plan {
  return inOneGo(planInSlices(world, now));
}

/** The same in slices. */
export function* planInSlices(world: World, now: number): Sliced<Plan> {
  const capacity = new Capacity(world.nodes);
  const groups = new Map<string, Map<string, WorldInstance[]>>();
  for (const [at, instance] of world.instances.entries()) {
    const { customer, workload, node, port, desired } = instance;
    capacity.add(node, { ...desired, customer, port });
    const ofCustomer = groups.get(customer) ?? new Map<string, WorldInstance[]>();
    const ofWorkload = ofCustomer.get(workload) ?? [];
    ofWorkload.push(instance);
    groups.set(customer, ofCustomer.set(workload, ofWorkload));
    if (at % itemsPerLook === 0) yield;
  }
  const pass = new Pass(capacity, { now, nextInstanceNumber: world.nextInstanceNumber });
  const customers = new Map(world.customers.map((customer) => [customer.name, customer]));
  const workloads = yield* sorted(
    world.workloads,
    (a, b) => compare(a.customer, b.customer) || compare(a.name, b.name),
  );
  for (const workload of workloads) {
    const instances = groups.get(workload.customer)?.get(workload.name) ?? [];
    groups.get(workload.customer)?.delete(workload.name);
    const customer = customers.get(workload.customer);
    // A killed customer keeps its places: nothing is put anywhere, and when the order is lifted all is as it was.
    if (customer === undefined || customer.killed) continue;
    const problem = yield* planWorkload({
      workload,
      instances,
      holds: customer.holds,
      pass,
      placer: new Placer(pass, { workload, customer }),
    });
    if (problem !== '') pass.problems.set(`${workload.customer}/${workload.name}`, problem);
    yield;
  }
  for (const orphans of groups.values())
    for (const instances of orphans.values())
      for (const instance of instances) pass.remove(instance, 'its workload is gone');
  return { actions: pass.actions, problems: pass.problems, dueAt: pass.dueAt };
}
