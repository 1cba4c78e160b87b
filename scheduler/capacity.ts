// Who uses what, kept up to date while a plan is made, and what a workload finds of it.
import { instancesPerNodeLimit } from '../protocol/desired-state.ts';
import type { Mac } from '../protocol/mac.ts';
import { hasLabels, labelsText } from '../protocol/workload/labels.ts';
import { customersPerNodeLimit } from '../protocol/roll-call.ts';
import type { World, WorldCustomer, WorldNode, WorldWorkload } from './world.ts';

/** What a node keeps for its own system and agent. */
export const nodeReserveBytes = 384 * 2 ** 20;
const firstPort = 20_000;
const ports = 10_000;
const mebibyte = 2 ** 20;

interface NodeLoad {
  readonly node: WorldNode;
  usedBytes: number;
  instances: number;
  readonly ports: Set<number>;
  readonly customers: Set<string>;
}

interface CustomerLoad {
  instances: number;
  memoryBytes: number;
  processes: number;
}

interface Use {
  customer: string;
  memoryBytes: number;
  processes: number;
  port: number | null;
}

export class Capacity {
  /** By MAC. Indexes into it stand for nodes. */
  readonly #nodes: NodeLoad[];
  readonly #ready: Set<number>;
  readonly #indexes: Map<Mac, number>;
  readonly #byCustomer = new Map<string, Map<number, CustomerLoad>>();

  constructor(nodes: World['nodes']) {
    this.#nodes = nodes
      .toSorted((a, b) => compare(a.mac, b.mac))
      .map((node) => ({
        node,
        usedBytes: nodeReserveBytes,
        instances: 0,
        ports: new Set<number>(),
        customers: new Set<string>(),
      }));
    this.#indexes = new Map(this.#nodes.map(({ node }, index) => [node.mac, index]));
    this.#ready = new Set(
      this.#nodes.flatMap(({ node }, index) =>
        node.state === 'ready' && !node.fenced && node.placement === 'open' ? [index] : [],
      ),
    );
  }

  indexOf(mac: Mac): number | undefined {
    return this.#indexes.get(mac);
  }

  node(mac: Mac): WorldNode | undefined {
    return this.#nodes[this.indexOf(mac) ?? -1]?.node;
  }

  /** Nothing where that node is gone. */
  add(mac: Mac, { customer, memoryBytes, processes, port }: Use): void {
    const index = this.indexOf(mac);
    const load = this.#nodes[index ?? -1];
    if (index === undefined || load === undefined) return;
    load.usedBytes += memoryBytes;
    load.instances++;
    load.customers.add(customer);
    if (port !== null) load.ports.add(port);
    const loads = this.#loadsOf(customer);
    const own = loads.get(index) ?? { instances: 0, memoryBytes: 0, processes: 0 };
    own.instances++;
    own.memoryBytes += memoryBytes;
    own.processes += processes;
    loads.set(index, own);
  }

  /**
   * Ports go round with the instances' numbers: one comes up again after 10,000 placements, long after the instance that
   * had it was stopped, even where its document is gone and its node did not hear of it yet.
   */
  freePort(mac: Mac, number: number): number {
    const taken = this.#nodes[this.indexOf(mac) ?? -1]?.ports;
    for (let step = 0; step < ports; step++) {
      const port = firstPort + ((number + step) % ports);
      if (taken?.has(port) !== true) return port;
    }
    throw new Error(`cannot choose port: all ${ports} are taken, want a node with a free one`);
  }

  /** Whether one of the workload would have room on this node if `leaving` were gone. */
  hasRoomInsteadOf(
    mac: Mac,
    {
      workload,
      customer,
      leaving,
    }: { workload: WorldWorkload; customer: WorldCustomer; leaving: Omit<Use, 'customer' | 'port'> },
  ): boolean {
    const index = this.indexOf(mac);
    const load = this.#nodes[index ?? -1];
    if (index === undefined || load === undefined || !this.#ready.has(index)) return false;
    const own = this.#loadsOf(workload.customer).get(index);
    const { memoryBytes, processes } = leaving;
    return (
      load.usedBytes - memoryBytes + workload.memoryBytes <= load.node.memoryBytes &&
      (own?.memoryBytes ?? 0) - memoryBytes + workload.memoryBytes <= customer.memoryBytes &&
      (own?.processes ?? 0) - processes + workload.processes <= customer.processes &&
      (!workload.needsPort || load.ports.size < ports)
    );
  }

  /**
   * Where one more goes, of the nodes that have its labels: fewest of its own in the zone, then on the node (those that will
   * stay count before those that a change replaces), fewest of its customer, most free memory, lowest MAC. Or why there is no
   * such place, in words.
   */
  choose({ workload, customer, avoid, own, staying }: Wanted): { mac: Mac } | { refusal: string } {
    const loads = this.#loadsOf(workload.customer);
    const avoided = avoid === undefined ? undefined : this.indexOf(avoid);
    let best: Candidate | undefined;
    const zones = this.#zones(workload, staying);
    const found = { labelled: 0, meant: 0, roomy: 0, withinLimits: 0 };
    for (const index of this.#ready) {
      const load = this.#nodes[index];
      if (load === undefined) continue;
      const ownHere = own.get(load.node.mac) ?? 0;
      if (!hasLabels(load.node.labels, workload.labels)) continue;
      found.labelled++;
      if (workload.onlyOn !== undefined && (ownHere > 0 || !workload.onlyOn.has(load.node.mac))) continue;
      found.meant++;
      const freeBytes = load.node.memoryBytes - load.usedBytes;
      if (freeBytes < workload.memoryBytes) continue;
      found.roomy++;
      const mine = loads.get(index);
      if ((mine?.memoryBytes ?? 0) + workload.memoryBytes > customer.memoryBytes) continue;
      if ((mine?.processes ?? 0) + workload.processes > customer.processes) continue;
      found.withinLimits++;
      if (mine === undefined && load.customers.size >= customersPerNodeLimit) continue;
      if (load.instances >= instancesPerNodeLimit) continue;
      if (workload.needsPort && load.ports.size >= ports) continue;
      const candidate = {
        mac: load.node.mac,
        avoided: index === avoided,
        zone: zones.get(zoneOf(workload, load.node)) ?? 0,
        staying: staying.get(load.node.mac) ?? 0,
        own: ownHere,
        others: mine?.instances ?? 0,
        freeBytes,
      };
      if (best === undefined || isBetter(candidate, best)) best = candidate;
    }
    return best ?? { refusal: this.#refusal({ workload, customer }, found) };
  }

  #refusal({ workload, customer }: Pick<Wanted, 'workload' | 'customer'>, found: Found): string {
    if (this.#ready.size === 0) {
      const isReady = this.#nodes.some(({ node }) => node.state === 'ready' && !node.fenced);
      return isReady ? 'every ready node is cordoned or drained' : 'no node is ready';
    }
    if (found.labelled === 0) return `no ready node has the labels ${labelsText(workload.labels)}`;
    if (found.meant === 0) return 'each ready node that it is meant for has one';
    if (found.roomy === 0) return `no ready node has ${Math.ceil(workload.memoryBytes / mebibyte)} MiB free`;
    if (found.withinLimits === 0)
      return `${customer.name} may use ${Math.floor(customer.memoryBytes / mebibyte)} MiB and ${customer.processes} processes on a node, and does on every ready one with room`;
    return `every ready node with room has ${customersPerNodeLimit} customers, ${instancesPerNodeLimit} instances or no port left`;
  }

  /** How many of the workload's own that stay there are for each value of the label that it is spread over. */
  #zones(workload: WorldWorkload, staying: ReadonlyMap<Mac, number>): ReadonlyMap<string, number> {
    const zones = new Map<string, number>();
    if (workload.spread === undefined) return zones;
    for (const [mac, count] of staying) {
      const zone = zoneOf(workload, this.node(mac));
      zones.set(zone, (zones.get(zone) ?? 0) + count);
    }
    return zones;
  }

  #loadsOf(customer: string): Map<number, CustomerLoad> {
    const loads = this.#byCustomer.get(customer) ?? new Map<number, CustomerLoad>();
    this.#byCustomer.set(customer, loads);
    return loads;
  }
}

export interface Wanted {
  workload: WorldWorkload;
  customer: WorldCustomer;
  /** Only where there is no other place. */
  avoid: Mac | undefined;
  /** How many of the workload's own instances a node has, and how many of those are not to be replaced. */
  own: ReadonlyMap<Mac, number>;
  staying: ReadonlyMap<Mac, number>;
}

interface Found {
  labelled: number;
  meant: number;
  roomy: number;
  withinLimits: number;
}

interface Candidate {
  mac: Mac;
  avoided: boolean;
  zone: number;
  staying: number;
  own: number;
  others: number;
  freeBytes: number;
}

function isBetter(a: Candidate, b: Candidate): boolean {
  if (a.avoided !== b.avoided) return b.avoided;
  if (a.zone !== b.zone) return a.zone < b.zone;
  if (a.staying !== b.staying) return a.staying < b.staying;
  if (a.own !== b.own) return a.own < b.own;
  if (a.others !== b.others) return a.others < b.others;
  return a.freeBytes > b.freeBytes;
}

/** Nodes without the label are together in one of their own. */
export function zoneOf({ spread = '' }: WorldWorkload, node: WorldNode | undefined): string {
  return node?.labels[spread] ?? '';
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
