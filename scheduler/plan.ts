// The scheduler decides which instance runs where. `plan` is pure: the world in, steps and complaints out; execute.ts
// carries steps out, loop.ts says when. It may import inventory/ and protocol/ only.
//
// One pass over the workloads, each on its own: forget instances whose node is gone, replace failed ones, then scale,
// then roll. What a pass removes still counts as used until the next pass, so a step never relies on another's success.
import { instanceId, type Placement } from '../inventory/customers/placement.ts';
import type { InstanceState } from '../protocol/api/instances.ts';
import type { NodeState } from '../protocol/api/nodes.ts';
import { instancesPerNodeLimit } from '../protocol/desired-state.ts';
import type { Mac } from '../protocol/mac.ts';
import { customersPerNodeLimit } from '../protocol/roll-call.ts';
import { lostAfterMs } from '../protocol/timing.ts';

/** What a node keeps for its own system and agent. */
export const nodeReserveBytes = 384 * 2 ** 20;
const firstPort = 20_000;
const ports = 10_000;
/** The rest comes in the next pass, 100 ms later: a pass stays short however much is asked for at once. */
const placementLimit = 100;
/** An instance that failed is replaced after this long, doubled for each failure in a row. */
const retryMs = 5_000;
const retryLimitMs = 300_000;
/** One that held out this long before it failed starts counting from nothing. */
const forgivenAfterMs = 600_000;
const mebibyte = 2 ** 20;

export interface WorldNode {
  mac: Mac;
  name: string;
  state: NodeState;
  fenced: boolean;
  /** When it stopped being ready; null while it is, or if it never was. */
  unreadyAt: number | null;
  /** When it entered its state. */
  since: number;
  memoryBytes: number;
}

export interface WorldCustomer {
  name: string;
  /** Most for all of its instances on one node. */
  memoryBytes: number;
  processes: number;
  killed: boolean;
}

export interface WorldWorkload {
  customer: string;
  name: string;
  replicas: number;
  specRevision: number;
  memoryBytes: number;
  processes: number;
  needsPort: boolean;
  /** Why no board may be asked to run it, deployed before there was such a rule: in words. */
  unusable?: string | undefined;
  /** One on each of these nodes and none elsewhere; anywhere where left out. */
  onlyOn?: ReadonlySet<Mac>;
}

export interface WorldInstance {
  id: string;
  customer: string;
  workload: string;
  node: Mac;
  port: number | null;
  specRevision: number;
  attempt: number;
  memoryBytes: number;
  processes: number;
  state: InstanceState;
  reason: string;
  placedAt: number;
  since: number;
}

export interface World {
  nodes: WorldNode[];
  customers: WorldCustomer[];
  workloads: WorldWorkload[];
  instances: WorldInstance[];
  nextInstanceNumber: number;
}

export interface Plan {
  actions: Placement[];
  /** By `<customer>/<workload>`: what keeps it from running as wanted, in words. */
  problems: Map<string, string>;
}

/** `now` in ms since 1970, as are the world's instants. */
export function plan(world: World, now: number): Plan {
  const board = new Board(world);
  const actions: Placement[] = [];
  const problems = new Map<string, string>();
  const customers = new Map(world.customers.map((customer) => [customer.name, customer]));
  const byWorkload = Map.groupBy(world.instances, ({ customer, workload }) => `${customer}/${workload}`);
  const inOrder = world.workloads.toSorted((a, b) => compare(a.customer, b.customer) || compare(a.name, b.name));
  for (const workload of inOrder) {
    const key = `${workload.customer}/${workload.name}`;
    const instances = byWorkload.get(key) ?? [];
    byWorkload.delete(key);
    const customer = customers.get(workload.customer);
    // A killed customer keeps its places: nothing is put anywhere, and when the order is lifted all is as it was.
    if (customer === undefined || customer.killed) continue;
    const problem = planWorkload({ workload, customer, instances, board, actions, now });
    if (problem !== '') problems.set(key, problem);
  }
  for (const orphans of byWorkload.values())
    for (const { id } of orphans) actions.push({ kind: 'remove', id, reason: 'its workload is gone' });
  return { actions, problems };
}

interface Task {
  workload: WorldWorkload;
  customer: WorldCustomer;
  instances: WorldInstance[];
  board: Board;
  actions: Placement[];
  now: number;
}

/** Returns the problem, empty where there is none. */
function planWorkload(task: Task): string {
  const { workload, board, actions, now } = task;
  const remove = (instance: WorldInstance, reason: string) => actions.push({ kind: 'remove', id: instance.id, reason });
  const housed: WorldInstance[] = [];
  for (const instance of task.instances) {
    const gone = board.gone(instance.node, now);
    if (gone === undefined) housed.push(instance);
    else remove(instance, gone);
  }
  const placer = new Placer(task, housed);
  const isOld = (instance: WorldInstance) => instance.specRevision !== workload.specRevision;

  // Old ones that do not run are no loss: away with them, in favour of the new revision.
  const standing: WorldInstance[] = [];
  for (const instance of housed) {
    if (isOld(instance) && instance.state !== 'running') remove(instance, 'its workload was changed');
    else standing.push(instance);
  }

  // Failed ones keep their place in the count until it is time to try again.
  const most = workload.replicas + (standing.some(isOld) ? 1 : 0);
  const kept: WorldInstance[] = [];
  for (const [at, instance] of standing.entries()) {
    const surplus = kept.length + placer.placed + standing.length - at > most;
    const attempt = instance.since - instance.placedAt >= forgivenAfterMs ? 0 : instance.attempt;
    const retryAt = instance.since + Math.min(retryLimitMs, retryMs * 2 ** Math.min(attempt, 16));
    if (instance.state !== 'failed' || surplus || now < retryAt) kept.push(instance);
    else if (placer.place({ attempt: attempt + 1, avoid: instance.node, reason: `instead of ${instance.id}` }))
      remove(instance, `failed: ${instance.reason}`);
    else kept.push(instance);
  }
  const current = kept.filter((instance) => !isOld(instance));
  const old = kept.filter(isOld);
  let count = kept.length + placer.placed;

  for (; count < workload.replicas; count++)
    if (!placer.place({ attempt: 0, avoid: undefined, reason: 'wanted' })) break;
  const missing = workload.replicas - count;

  // Rolling: one more than wanted while a new one starts, and an old one goes when all new ones run.
  const newOnesRun = placer.placed === 0 && current.every(({ state }) => state === 'running');
  let stuck = '';
  if (old.length > 0 && newOnesRun && missing >= 0) {
    const begun = missing === 0 && placer.place({ attempt: 0, avoid: undefined, reason: 'its workload was changed' });
    if (!begun && placer.refusal !== undefined) {
      // No room for one more: one old goes first, if the new one fits in its place. Only that one is down meanwhile.
      const leaving = board.leavingOrder(old, current).find((instance) => placer.wouldFitInsteadOf(instance));
      if (leaving === undefined) stuck = `${old.length} of ${workload.replicas} replicas wait for their change: `;
      else remove(leaving, 'its workload was changed');
    }
  } else {
    const surplus = -missing - (old.length > 0 && !newOnesRun ? 1 : 0);
    const leaving =
      surplus > 0 ? [...board.leavingOrder(old, current), ...board.leavingOrder(current)].slice(0, surplus) : [];
    for (const instance of leaving)
      remove(instance, isOld(instance) ? 'its workload was changed' : `${workload.replicas} wanted`);
  }

  if (missing > 0 && placer.refusal !== undefined)
    return `${missing} of ${workload.replicas} replicas have no place: ${placer.refusal}`;
  if (stuck !== '' && placer.refusal !== undefined) return stuck + placer.refusal;
  const failed = kept.filter(({ state }) => state === 'failed');
  const [first] = failed;
  if (first === undefined) return '';
  const why = placer.refusal === undefined ? '' : `; no other place: ${placer.refusal}`;
  return `${failed.length} of ${workload.replicas} replicas failed: ${first.reason} on ${board.nameOf(first.node)}${why}`;
}

interface NodeLoad {
  node: WorldNode;
  usedBytes: number;
  instances: number;
  ports: Set<number>;
  customers: Set<string>;
}

interface CustomerLoad {
  instances: number;
  memoryBytes: number;
  processes: number;
}

/** Who uses what, kept up to date while the plan is made. */
class Board {
  readonly nodes: NodeLoad[];
  readonly ready: number[];
  placements = 0;
  #nextNumber: number;
  readonly #indexes: Map<Mac, number>;
  readonly #byCustomer = new Map<string, Map<number, CustomerLoad>>();

  constructor(world: World) {
    this.nodes = world.nodes
      .toSorted((a, b) => compare(a.mac, b.mac))
      .map((node) => ({
        node,
        usedBytes: nodeReserveBytes,
        instances: 0,
        ports: new Set<number>(),
        customers: new Set<string>(),
      }));
    this.#indexes = new Map(this.nodes.map(({ node }, index) => [node.mac, index]));
    this.ready = this.nodes.flatMap(({ node }, index) => (node.state === 'ready' && !node.fenced ? [index] : []));
    this.#nextNumber = world.nextInstanceNumber;
    for (const instance of world.instances) {
      const index = this.indexOf(instance.node);
      if (index !== undefined) this.add(index, instance, instance.port);
    }
  }

  indexOf(mac: Mac): number | undefined {
    return this.#indexes.get(mac);
  }

  nameOf(mac: Mac): string {
    return this.nodes[this.indexOf(mac) ?? -1]?.node.name ?? mac;
  }

  loadsOf(customer: string): Map<number, CustomerLoad> {
    const loads = this.#byCustomer.get(customer) ?? new Map<number, CustomerLoad>();
    this.#byCustomer.set(customer, loads);
    return loads;
  }

  add(
    index: number,
    { customer, memoryBytes, processes }: { customer: string; memoryBytes: number; processes: number },
    port: number | null,
  ): void {
    const load = this.nodes[index];
    if (load === undefined) return;
    load.usedBytes += memoryBytes;
    load.instances++;
    load.customers.add(customer);
    if (port !== null) load.ports.add(port);
    const loads = this.loadsOf(customer);
    const own = loads.get(index) ?? { instances: 0, memoryBytes: 0, processes: 0 };
    own.instances++;
    own.memoryBytes += memoryBytes;
    own.processes += processes;
    loads.set(index, own);
  }

  nextNumber(): number {
    return this.#nextNumber++;
  }

  /** Why instances may not stay on this node, or undefined. A silent node, and one that boots, gets its time. */
  gone(mac: Mac, now: number): string | undefined {
    const index = this.indexOf(mac);
    const node = index === undefined ? undefined : this.nodes[index]?.node;
    if (node === undefined) return 'its node is gone';
    if (node.fenced) return `${node.name} is fenced`;
    if (node.state === 'lost') return `${node.name} is lost`;
    if (node.state === 'ready' || node.state === 'silent') return undefined;
    return now - (node.unreadyAt ?? node.since) < lostAfterMs ? undefined : `${node.name} started again`;
  }

  /** Who goes first: failed, not running, on the node with most of them and of those that `stay`, youngest. */
  leavingOrder(instances: WorldInstance[], stay: WorldInstance[] = []): WorldInstance[] {
    const perNode = Map.groupBy(instances, ({ node }) => node);
    const rank = ({ state }: WorldInstance) => (state === 'failed' ? 0 : state === 'running' ? 2 : 1);
    const crowd = new Map<string, number>();
    for (const [mac, group] of perNode) {
      const beside = stay.filter(({ node }) => node === mac).length;
      for (const [position, { id }] of group.toSorted((a, b) => compare(a.id, b.id)).entries())
        crowd.set(id, beside + position);
    }
    return instances.toSorted(
      (a, b) => rank(a) - rank(b) || (crowd.get(b.id) ?? 0) - (crowd.get(a.id) ?? 0) || compare(b.id, a.id),
    );
  }
}

/**
 * Finds places for one workload: fewest of its own (those that will stay count before those that a change replaces), fewest
 * of its customer, most free memory, lowest MAC.
 */
class Placer {
  placed = 0;
  /** Why the last one found no place, in words. */
  refusal: string | undefined;
  readonly #task: Task;
  readonly #own = new Map<number, number>();
  readonly #staying = new Map<number, number>();

  constructor(task: Task, housed: WorldInstance[]) {
    this.#task = task;
    for (const { node, specRevision } of housed) {
      const index = task.board.indexOf(node);
      if (index !== undefined) this.#count(index, specRevision);
    }
  }

  #count(index: number, specRevision: number): void {
    this.#own.set(index, (this.#own.get(index) ?? 0) + 1);
    if (specRevision === this.#task.workload.specRevision)
      this.#staying.set(index, (this.#staying.get(index) ?? 0) + 1);
  }

  place({ attempt, avoid, reason }: { attempt: number; avoid: Mac | undefined; reason: string }): boolean {
    const { workload, board, actions } = this.#task;
    if (board.placements >= placementLimit) return false;
    if (workload.unusable !== undefined) {
      this.refusal = `${workload.unusable}; deploy it again without`;
      return false;
    }
    const index = this.#choose(avoid === undefined ? undefined : board.indexOf(avoid));
    const load = index === undefined ? undefined : board.nodes[index];
    if (index === undefined || load === undefined) return false;
    const number = board.nextNumber();
    const port = workload.needsPort ? freePort(load.ports, number) : null;
    actions.push({
      kind: 'place',
      id: instanceId(workload.name, number),
      customer: workload.customer,
      workload: workload.name,
      node: load.node.mac,
      port,
      specRevision: workload.specRevision,
      attempt,
      reason,
    });
    board.add(index, workload, port);
    board.placements++;
    this.#count(index, workload.specRevision);
    this.placed++;
    return true;
  }

  wouldFitInsteadOf(instance: WorldInstance): boolean {
    const { workload, customer, board } = this.#task;
    const index = board.indexOf(instance.node);
    const load = index === undefined ? undefined : board.nodes[index];
    if (index === undefined || load === undefined || !board.ready.includes(index)) return false;
    if (workload.unusable !== undefined) return false;
    const mine = board.loadsOf(workload.customer).get(index);
    const { memoryBytes, processes } = instance;
    return (
      load.usedBytes - memoryBytes + workload.memoryBytes <= load.node.memoryBytes &&
      (mine?.memoryBytes ?? 0) - memoryBytes + workload.memoryBytes <= customer.memoryBytes &&
      (mine?.processes ?? 0) - processes + workload.processes <= customer.processes &&
      (!workload.needsPort || load.ports.size < ports)
    );
  }

  #choose(avoid: number | undefined): number | undefined {
    const { workload, customer, board } = this.#task;
    const loads = board.loadsOf(workload.customer);
    let best: (Candidate & { index: number }) | undefined;
    let meant = 0;
    let roomy = 0;
    let withinLimits = 0;
    for (const index of board.ready) {
      const load = board.nodes[index];
      if (load === undefined) continue;
      const own = this.#own.get(index) ?? 0;
      if (workload.onlyOn !== undefined && (own > 0 || !workload.onlyOn.has(load.node.mac))) continue;
      meant++;
      const freeBytes = load.node.memoryBytes - load.usedBytes;
      if (freeBytes < workload.memoryBytes) continue;
      roomy++;
      const mine = loads.get(index);
      if ((mine?.memoryBytes ?? 0) + workload.memoryBytes > customer.memoryBytes) continue;
      if ((mine?.processes ?? 0) + workload.processes > customer.processes) continue;
      withinLimits++;
      if (mine === undefined && load.customers.size >= customersPerNodeLimit) continue;
      if (load.instances >= instancesPerNodeLimit) continue;
      if (workload.needsPort && load.ports.size >= ports) continue;
      const candidate = {
        index,
        avoided: index === avoid,
        staying: this.#staying.get(index) ?? 0,
        own,
        others: mine?.instances ?? 0,
        freeBytes,
      };
      if (best === undefined || isBetter(candidate, best)) best = candidate;
    }
    if (best === undefined) this.refusal = this.#describe({ meant, roomy, withinLimits });
    return best?.index;
  }

  #describe({ meant, roomy, withinLimits }: { meant: number; roomy: number; withinLimits: number }): string {
    const { workload, customer, board } = this.#task;
    if (board.ready.length === 0) return 'no node is ready';
    if (meant === 0) return 'each ready node that it is meant for has one';
    if (roomy === 0) return `no ready node has ${Math.ceil(workload.memoryBytes / mebibyte)} MiB free`;
    if (withinLimits === 0)
      return `${customer.name} may use ${Math.floor(customer.memoryBytes / mebibyte)} MiB and ${customer.processes} processes on a node, and does on every ready one with room`;
    return `every ready node with room has ${customersPerNodeLimit} customers, ${instancesPerNodeLimit} instances or no port left`;
  }
}

interface Candidate {
  avoided: boolean;
  staying: number;
  own: number;
  others: number;
  freeBytes: number;
}

function isBetter(a: Candidate, b: Candidate): boolean {
  if (a.avoided !== b.avoided) return b.avoided;
  if (a.staying !== b.staying) return a.staying < b.staying;
  if (a.own !== b.own) return a.own < b.own;
  if (a.others !== b.others) return a.others < b.others;
  return a.freeBytes > b.freeBytes;
}

/**
 * Ports go round with the instances' numbers: one comes up again after 10,000 placements, long after the instance that
 * had it was stopped, even where its document is gone and its node did not hear of it yet.
 */
function freePort(taken: ReadonlySet<number>, number: number): number {
  for (let step = 0; step < ports; step++) {
    const port = firstPort + ((number + step) % ports);
    if (!taken.has(port)) return port;
  }
  throw new Error(`cannot choose port: all ${ports} are taken, want a node with a free one`);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
