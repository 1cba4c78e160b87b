// The scheduler decides which instance runs where. `plan` is pure: the world in, steps and complaints out; execute.ts
// carries steps out, loop.ts says when. It may import inventory/ and protocol/ only.
//
// One pass over the workloads, each on its own: forget instances whose node is gone, replace failed ones, then scale,
// then roll. What a pass removes still counts as used until the next pass, so a step never relies on another's success.
import { instanceId, type Placement } from '../inventory/customers/placement.ts';
import type { Mac } from '../protocol/mac.ts';
import { lostAfterMs } from '../protocol/timing.ts';
import { Capacity, compare } from './capacity.ts';
import { inOneGo, itemsPerLook, type Sliced, sorted } from '../inventory/slices.ts';
import type { World, WorldCustomer, WorldInstance, WorldWorkload } from './world.ts';

/** The rest comes in the next pass, 100 ms later: a pass stays short however much is asked for at once. */
const placementLimit = 100;
/** An instance that failed is replaced after this long, doubled for each failure in a row. */
const retryMs = 5_000;
const retryLimitMs = 300_000;
/** One that held out this long before it failed starts counting from nothing. */
const forgivenAfterMs = 600_000;

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
      customer,
      instances,
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

/** What is decided so far, of all workloads. */
class Pass {
  readonly capacity: Capacity;
  readonly now: number;
  readonly actions: Placement[] = [];
  readonly problems = new Map<string, string>();
  dueAt = Infinity;
  #placements = 0;
  #nextNumber: number;

  constructor(capacity: Capacity, { now, nextInstanceNumber }: { now: number; nextInstanceNumber: number }) {
    this.capacity = capacity;
    this.now = now;
    this.#nextNumber = nextInstanceNumber;
  }

  get isFull(): boolean {
    return this.#placements >= placementLimit;
  }

  /** Whether it is as late as that; else the world is looked at again then. */
  isDue(at: number): boolean {
    if (this.now < at) this.dueAt = Math.min(this.dueAt, at);
    return this.now >= at;
  }

  place(workload: WorldWorkload, { node, ...why }: { node: Mac; attempt: number; reason: string }): void {
    const { customer, name, specRevision, memoryBytes, processes, needsPort } = workload;
    const number = this.#nextNumber++;
    const port = needsPort ? this.capacity.freePort(node, number) : null;
    const id = instanceId(name, number);
    this.actions.push({ kind: 'place', id, customer, workload: name, node, port, specRevision, ...why });
    this.capacity.add(node, { customer, memoryBytes, processes, port });
    this.#placements++;
  }

  remove({ id }: WorldInstance, reason: string): void {
    this.actions.push({ kind: 'remove', id, reason });
  }
}

interface Task {
  workload: WorldWorkload;
  customer: WorldCustomer;
  instances: WorldInstance[];
  pass: Pass;
  placer: Placer;
}

/** Returns the problem, empty where there is none. */
function* planWorkload(task: Task): Sliced<string> {
  const { workload, placer, pass } = task;
  const standing = yield* forget(task);
  const kept = yield* replaceFailed(task, standing);
  const count = kept.length + placer.placed;
  const missing = workload.replicas - count - (yield* fill(task, workload.replicas - count));
  const stuck = yield* rollOrShrink(task, { kept, missing });

  if (missing > 0 && placer.refusal !== undefined)
    return `${missing} of ${workload.replicas} replicas have no place: ${placer.refusal}`;
  if (stuck !== '' && placer.refusal !== undefined) return stuck + placer.refusal;
  const failed = kept.filter(({ state }) => state === 'failed');
  const [first] = failed;
  if (first === undefined) return '';
  const why = placer.refusal === undefined ? '' : `; no other place: ${placer.refusal}`;
  const where = pass.capacity.node(first.node)?.name ?? first.node;
  return `${failed.length} of ${workload.replicas} replicas failed: ${first.reason} on ${where}${why}`;
}

/** Removes what its node lost, and what is of an old revision and does not run: no loss. Returns what stands. */
function* forget({ workload, instances, pass, placer }: Task): Sliced<WorldInstance[]> {
  const housed: WorldInstance[] = [];
  for (const [at, instance] of instances.entries()) {
    const gone = goneFrom(pass, instance.node);
    if (gone === undefined) housed.push(instance);
    else pass.remove(instance, gone);
    if (at % itemsPerLook === itemsPerLook - 1) yield;
  }
  const standing: WorldInstance[] = [];
  for (const instance of housed) {
    placer.count(instance.node, instance.specRevision);
    if (isOld(workload, instance) && instance.state !== 'running') pass.remove(instance, 'its workload was changed');
    else standing.push(instance);
  }
  return standing;
}

/** Why instances may not stay on this node, or undefined. A silent node, and one that boots, gets its time. */
function goneFrom(pass: Pass, mac: Mac): string | undefined {
  const node = pass.capacity.node(mac);
  if (node === undefined) return 'its node is gone';
  if (node.fenced) return `${node.name} is fenced`;
  if (node.state === 'lost') return `${node.name} is lost`;
  if (node.state === 'ready' || node.state === 'silent') return undefined;
  return pass.isDue((node.unreadyAt ?? node.since) + lostAfterMs) ? `${node.name} started again` : undefined;
}

/** Failed ones keep their place in the count until it is time to try again. Returns what is kept. */
function* replaceFailed({ workload, pass, placer }: Task, standing: WorldInstance[]): Sliced<WorldInstance[]> {
  const most = workload.replicas + (standing.some((instance) => isOld(workload, instance)) ? 1 : 0);
  const kept: WorldInstance[] = [];
  for (const [at, instance] of standing.entries()) {
    const surplus = kept.length + placer.placed + standing.length - at > most;
    const attempt = instance.since - instance.placedAt >= forgivenAfterMs ? 0 : instance.attempt;
    const retryAt = instance.since + Math.min(retryLimitMs, retryMs * 2 ** Math.min(attempt, 16));
    if (instance.state !== 'failed' || surplus || !pass.isDue(retryAt)) kept.push(instance);
    else if (placer.place({ attempt: attempt + 1, avoid: instance.node, reason: `instead of ${instance.id}` }))
      pass.remove(instance, `failed: ${instance.reason}`);
    else kept.push(instance);
    if (at % itemsPerLook === itemsPerLook - 1) yield;
  }
  return kept;
}

/** Returns how many of the missing ones found a place. */
function* fill({ placer }: Task, missing: number): Sliced<number> {
  for (let placed = 0; placed < missing; placed++) {
    if (!placer.place({ attempt: 0, avoid: undefined, reason: 'wanted' })) return placed;
    yield;
  }
  return Math.max(0, missing);
}

/**
 * A change: one more than wanted while a new one starts, and an old one goes when all new ones run. Else what is too many
 * goes. Returns how a change is stuck, empty where it is not.
 */
function* rollOrShrink(task: Task, { kept, missing }: { kept: WorldInstance[]; missing: number }): Sliced<string> {
  const { workload, placer, pass } = task;
  const current = kept.filter((instance) => !isOld(workload, instance));
  const old = kept.filter((instance) => isOld(workload, instance));
  const newOnesRun = placer.placed === 0 && current.every(({ state }) => state === 'running');
  if (old.length > 0 && newOnesRun && missing >= 0) return yield* roll(task, { old, current, missing });
  const surplus = -missing - (old.length > 0 && !newOnesRun ? 1 : 0);
  if (surplus <= 0) return '';
  const leaving = [...(yield* leavingOrder(old, current)), ...(yield* leavingOrder(current))].slice(0, surplus);
  for (const instance of leaving)
    pass.remove(instance, isOld(workload, instance) ? 'its workload was changed' : `${workload.replicas} wanted`);
  return '';
}

function* roll(
  { workload, placer, pass }: Task,
  { old, current, missing }: { old: WorldInstance[]; current: WorldInstance[]; missing: number },
): Sliced<string> {
  const begun = missing === 0 && placer.place({ attempt: 0, avoid: undefined, reason: 'its workload was changed' });
  if (begun || placer.refusal === undefined) return '';
  // No room for one more: one old goes first, if the new one fits in its place. Only that one is down meanwhile.
  for (const [at, instance] of (yield* leavingOrder(old, current)).entries()) {
    if (placer.wouldFitInsteadOf(instance)) {
      pass.remove(instance, 'its workload was changed');
      return '';
    }
    if (at % itemsPerLook === itemsPerLook - 1) yield;
  }
  return `${old.length} of ${workload.replicas} replicas wait for their change: `;
}

function rank({ state }: WorldInstance): number {
  return state === 'failed' ? 0 : state === 'running' ? 2 : 1;
}

/** Who goes first: failed, not running, on the node with most of them and of those that `stay`, youngest. */
function* leavingOrder(instances: WorldInstance[], stay: WorldInstance[] = []): Sliced<WorldInstance[]> {
  const staying = new Map<Mac, number>();
  for (const { node } of stay) staying.set(node, (staying.get(node) ?? 0) + 1);
  const crowd = new Map<string, number>();
  for (const [mac, group] of Map.groupBy(instances, ({ node }) => node)) {
    for (const [position, { id }] of group.toSorted((a, b) => compare(a.id, b.id)).entries())
      crowd.set(id, (staying.get(mac) ?? 0) + position);
    yield;
  }
  return yield* sorted(
    instances,
    (a, b) => rank(a) - rank(b) || (crowd.get(b.id) ?? 0) - (crowd.get(a.id) ?? 0) || compare(b.id, a.id),
  );
}

function isOld({ specRevision }: WorldWorkload, instance: WorldInstance): boolean {
  return instance.specRevision !== specRevision;
}

/** Finds places for one workload. */
class Placer {
  placed = 0;
  /** Why the last one found no place, in words. Nothing is freed within a pass: the next one finds none either. */
  refusal: string | undefined;
  readonly #pass: Pass;
  readonly #workload: WorldWorkload;
  readonly #customer: WorldCustomer;
  readonly #own = new Map<Mac, number>();
  readonly #staying = new Map<Mac, number>();

  constructor(pass: Pass, { workload, customer }: { workload: WorldWorkload; customer: WorldCustomer }) {
    this.#pass = pass;
    this.#workload = workload;
    this.#customer = customer;
  }

  count(mac: Mac, specRevision: number): void {
    this.#own.set(mac, (this.#own.get(mac) ?? 0) + 1);
    if (specRevision === this.#workload.specRevision) this.#staying.set(mac, (this.#staying.get(mac) ?? 0) + 1);
  }

  place({ avoid, ...why }: { attempt: number; avoid: Mac | undefined; reason: string }): boolean {
    const workload = this.#workload;
    if (this.#pass.isFull || this.refusal !== undefined) return false;
    if (workload.unusable !== undefined) {
      this.refusal = `${workload.unusable}; deploy it again without`;
      return false;
    }
    const own = this.#own;
    const staying = this.#staying;
    const chosen = this.#pass.capacity.choose({ workload, customer: this.#customer, avoid, own, staying });
    if ('refusal' in chosen) {
      this.refusal = chosen.refusal;
      return false;
    }
    this.#pass.place(workload, { node: chosen.mac, ...why });
    this.count(chosen.mac, workload.specRevision);
    this.placed++;
    return true;
  }

  wouldFitInsteadOf({ node, desired: leaving }: WorldInstance): boolean {
    const workload = this.#workload;
    if (workload.unusable !== undefined) return false;
    return this.#pass.capacity.hasRoomInsteadOf(node, { workload, customer: this.#customer, leaving });
  }
}
