// What the page knows of the rack: one snapshot, then every change applied to it in place. No DOM here, so that it is
// tested in Node. A change marks what it touched; the drawing, once per frame, looks at the marks alone.
import type { Approval } from '../../protocol/api/approvals.ts';
import type { Customer } from '../../protocol/api/customers.ts';
import type { Drill } from '../../protocol/api/drills.ts';
import type { Event } from '../../protocol/api/events.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import type { Node, NodeState } from '../../protocol/api/nodes.ts';
import type { KillOrder } from '../../protocol/api/orders.ts';
import type { Sample } from '../../protocol/api/samples.ts';
import type { Status } from '../../protocol/api/status.ts';
import type { Snapshot } from '../../protocol/api/stream.ts';
import type { Workload } from '../../protocol/api/workloads.ts';

/** The scope of a kill order that stops everybody. */
export const everything = '*';

/** Older events are let go; the whole log is at `/v1/events`. */
export const eventLimit = 200;

/** One message of `GET /v1/stream`, or an answer that is applied in the same way. */
export type Message =
  | { kind: 'snapshot'; data: Snapshot }
  | { kind: 'node'; data: Node }
  | { kind: 'node-removed'; data: { mac: string } }
  | { kind: 'customer'; data: Customer }
  | { kind: 'customer-removed'; data: { name: string } }
  | { kind: 'workload'; data: Workload }
  | { kind: 'workload-removed'; data: { customer: string; name: string } }
  | { kind: 'instance'; data: Instance }
  | { kind: 'instance-removed'; data: { id: string } }
  | { kind: 'kill'; data: KillOrder }
  | { kind: 'approval'; data: Approval }
  | { kind: 'approval-removed'; data: { id: number } }
  | { kind: 'drill'; data: Drill }
  | { kind: 'event'; data: Event }
  | { kind: 'samples'; data: Record<string, Sample> }
  /** Not of the stream, which has it in the snapshot only: it is asked for from time to time. */
  | { kind: 'status'; data: Status };

export const messageKinds = [
  'snapshot',
  'node',
  'node-removed',
  'customer',
  'customer-removed',
  'workload',
  'workload-removed',
  'instance',
  'instance-removed',
  'kill',
  'approval',
  'approval-removed',
  'drill',
  'event',
  'samples',
] as const satisfies readonly Exclude<Message['kind'], 'status'>[];

export interface RackState {
  status: Status | undefined;
  nodes: Map<string, Node>;
  customers: Map<string, Customer>;
  /** By `customer/name`. */
  workloads: Map<string, Workload>;
  instances: Map<string, Instance>;
  kills: Map<number, KillOrder>;
  approvals: Map<number, Approval>;
  /** By number. */
  drills: Map<number, Drill>;
  /** Oldest first, at most `eventLimit`. */
  events: Event[];
}

/** What has changed since the last drawing. */
export interface Changes {
  /** A snapshot came: draw everything anew. */
  everything: boolean;
  /** MACs whose node, not only its sample, has changed. */
  nodes: Set<string>;
  /** MACs with a fresh sample. */
  samples: Set<string>;
  /** Names whose customer, workloads or instances have changed. */
  customers: Set<string>;
  kills: boolean;
  approvals: boolean;
  drills: boolean;
  events: boolean;
  status: boolean;
}

export function emptyState(): RackState {
  return {
    status: undefined,
    nodes: new Map(),
    customers: new Map(),
    workloads: new Map(),
    instances: new Map(),
    kills: new Map(),
    approvals: new Map(),
    drills: new Map(),
    events: [],
  };
}

export function noChanges(): Changes {
  return {
    everything: false,
    nodes: new Set(),
    samples: new Set(),
    customers: new Set(),
    kills: false,
    approvals: false,
    drills: false,
    events: false,
    status: false,
  };
}

export function apply(message: Message, { state, changes }: { state: RackState; changes: Changes }): void {
  switch (message.kind) {
    case 'snapshot':
      replaceAll(state, message.data);
      changes.everything = true;
      return;
    case 'node':
      state.nodes.set(message.data.mac, message.data);
      changes.nodes.add(message.data.mac);
      return;
    case 'node-removed':
      state.nodes.delete(message.data.mac);
      changes.nodes.add(message.data.mac);
      return;
    case 'customer':
      state.customers.set(message.data.name, message.data);
      changes.customers.add(message.data.name);
      return;
    case 'customer-removed':
      state.customers.delete(message.data.name);
      changes.customers.add(message.data.name);
      return;
    case 'workload':
      state.workloads.set(workloadKey(message.data), message.data);
      changes.customers.add(message.data.customer);
      return;
    case 'workload-removed':
      state.workloads.delete(workloadKey(message.data));
      changes.customers.add(message.data.customer);
      return;
    case 'instance':
      markInstance(state.instances.get(message.data.id), changes);
      state.instances.set(message.data.id, message.data);
      markInstance(message.data, changes);
      return;
    case 'instance-removed':
      markInstance(state.instances.get(message.data.id), changes);
      state.instances.delete(message.data.id);
      return;
    case 'kill':
      state.kills.set(message.data.number, message.data);
      changes.kills = true;
      return;
    case 'approval':
      state.approvals.set(message.data.id, message.data);
      changes.approvals = true;
      return;
    case 'approval-removed':
      state.approvals.delete(message.data.id);
      changes.approvals = true;
      return;
    case 'drill':
      state.drills.set(message.data.number, message.data);
      changes.drills = true;
      // Its order is shown as an emergency or not by what the drill says.
      changes.kills = true;
      return;
    case 'event':
      // A reconnection may bring an event that the snapshot had already.
      if (state.events.some(({ id }) => id === message.data.id)) return;
      state.events.push(message.data);
      if (state.events.length > eventLimit) state.events.splice(0, state.events.length - eventLimit);
      changes.events = true;
      return;
    case 'status':
      state.status = message.data;
      changes.status = true;
      return;
    case 'samples':
      for (const [mac, sample] of Object.entries(message.data)) {
        const node = state.nodes.get(mac);
        if (node === undefined) continue;
        node.sample = sample;
        changes.samples.add(mac);
      }
      return;
  }
}

/** It shows at its customer and at its node: where it is, and where it was. */
function markInstance(instance: Instance | undefined, changes: Changes): void {
  if (instance === undefined) return;
  changes.customers.add(instance.customer);
  changes.nodes.add(instance.node);
}

function replaceAll(state: RackState, told: Snapshot): void {
  state.status = told.status;
  state.nodes = new Map(told.nodes.map((node) => [node.mac, node]));
  state.customers = new Map(told.customers.map((customer) => [customer.name, customer]));
  state.workloads = new Map(told.workloads.map((workload) => [workloadKey(workload), workload]));
  state.instances = new Map(told.instances.map((instance) => [instance.id, instance]));
  state.kills = new Map(told.kills.map((order) => [order.number, order]));
  state.approvals = new Map(told.approvals.map((approval) => [approval.id, approval]));
  state.drills = new Map(told.drills.map((drill) => [drill.number, drill]));
  state.events = told.events.toSorted((a, b) => a.id - b.id).slice(-eventLimit);
}

function workloadKey({ customer, name }: { customer: string; name: string }): string {
  return `${customer}/${name}`;
}

// ---- what is shown of it

export interface Counts {
  nodes: Record<NodeState, number>;
  total: number;
  fenced: number;
  instances: number;
  running: number;
}

/** Counted from the documents: the snapshot's status is as old as the connection. */
export function counts(state: RackState): Counts {
  const nodes = { seen: 0, loading: 0, joining: 0, ready: 0, silent: 0, lost: 0 };
  let fenced = 0;
  for (const node of state.nodes.values()) {
    nodes[node.state] += 1;
    if (node.fenced) fenced += 1;
  }
  let running = 0;
  for (const instance of state.instances.values()) if (instance.state === 'running') running += 1;
  return { nodes, total: state.nodes.size, fenced, instances: state.instances.size, running };
}

/** Orders that stand, the one for everything first, then the newest. That of a drill is no emergency and not among them. */
export function standingOrders(state: RackState): KillOrder[] {
  const drilled = new Set([...state.drills.values()].map(({ order }) => order));
  return [...state.kills.values()]
    .filter(({ liftedAt, number }) => liftedAt === null && !drilled.has(number))
    .toSorted((a, b) => Number(b.scope === everything) - Number(a.scope === everything) || b.number - a.number);
}

/** What waits for a second operator, the oldest first. */
export function waitingApprovals(state: RackState, now: number): Approval[] {
  return [...state.approvals.values()].filter(({ expiresAt }) => now < expiresAt).toSorted((a, b) => a.id - b.id);
}

/** The order that stops this customer now, its own before the one for everything. */
export function orderOf(state: RackState, customer: string): KillOrder | undefined {
  const standing = standingOrders(state);
  return standing.find(({ scope }) => scope === customer) ?? standing.find(({ scope }) => scope === everything);
}

export function customersByName(state: RackState): Customer[] {
  return [...state.customers.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

export function workloadsOf(state: RackState, customer: string): Workload[] {
  return [...state.workloads.values()]
    .filter((workload) => workload.customer === customer)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Instances by customer, each list with what does not run first, then by workload and node. */
export function instancesByCustomer(state: RackState): Map<string, Instance[]> {
  const found = Map.groupBy(state.instances.values(), ({ customer }) => customer);
  for (const list of found.values()) list.sort(inOrderOfInterest);
  return found;
}

export function instancesOn(state: RackState, mac: string): Instance[] {
  return [...state.instances.values()].filter(({ node }) => node === mac).toSorted(inOrderOfInterest);
}

function inOrderOfInterest(a: Instance, b: Instance): number {
  const first = Number(a.ready) - Number(b.ready);
  if (first !== 0) return first;
  return `${a.customer}/${a.workload} ${a.nodeName} ${a.id}` < `${b.customer}/${b.workload} ${b.nodeName} ${b.id}`
    ? -1
    : 1;
}

/** Every node at its slot, first slot 1; empty slots are `undefined`. Two nodes that claim one slot both show. */
export function slotsOf(state: RackState): { slot: number; node: Node | undefined }[] {
  const nodes = [...state.nodes.values()].toSorted((a, b) => a.slot - b.slot || (a.mac < b.mac ? -1 : 1));
  const slots: { slot: number; node: Node | undefined }[] = [];
  let next = 1;
  for (const node of nodes) {
    // An operator may give any number: a gap wider than this is not drawn.
    if (node.slot - next <= 48) for (; next < node.slot; next += 1) slots.push({ slot: next, node: undefined });
    slots.push({ slot: node.slot, node });
    next = node.slot + 1;
  }
  return slots;
}

export const bootSteps = ['dhcp', 'tftp', 'script', 'kernel', 'initrd', 'root', 'joined', 'ready'] as const;
export type BootStep = (typeof bootSteps)[number];

/** Stages as the boot server and the node report them (`boot/stage.ts`), by the step that they belong to. */
const stepByStage = new Map<string, BootStep>([
  ...bootSteps.map((step) => [step, step] as const),
  ['dhcp-discover', 'dhcp'],
  ['dhcp-ack', 'dhcp'],
  ['refused-kernel', 'kernel'],
  ['refused-initrd', 'initrd'],
  ['refused-start', 'initrd'],
  ['initramfs', 'initrd'],
  ['refused-root', 'root'],
  ['root-verified', 'root'],
  ['system', 'root'],
]);

export interface BootProgress {
  /** How many steps of `bootSteps` are behind it, 0 to 8. */
  done: number;
  current: BootStep | undefined;
  /** The stage says that the boot cannot go on. */
  stuck: boolean;
}

/** How far a boot has come; a stage that we do not know counts as no step, and is shown by its name alone. */
export function bootProgress({ state, stage }: Pick<Node, 'state' | 'stage'>): BootProgress {
  if (state === 'ready') return { done: bootSteps.length, current: undefined, stuck: false };
  const step = stepByStage.get(stage);
  const stuck = stage.startsWith('refused-') || stage === 'failed' || stage === 'fenced';
  return { done: step === undefined ? 0 : bootSteps.indexOf(step), current: step, stuck };
}

export function isBooting({ state }: Pick<Node, 'state'>): boolean {
  return state === 'seen' || state === 'loading' || state === 'joining';
}

export interface KillProgress {
  done: boolean;
  /** `2/2 stopped, slowest 143 ms` */
  count: string;
  /** Names of nodes that have not acknowledged it, in words, and that the order is not stored; empty when neither is so. */
  unacknowledged: string;
}

const notStored =
  'In force, but NOT STORED: the controller\u2019s disk does not take it. It is lost if the controller ends before.';

export function killProgress(order: KillOrder): KillProgress {
  const slowest = order.slowestMs === null ? '' : `, slowest ${Math.round(order.slowestMs)} ms`;
  const names = order.unacknowledged.slice(0, 12).join(', ');
  const more = order.unacknowledged.length > 12 ? ` and ${order.unacknowledged.length - 12} more` : '';
  return {
    done: order.stopped >= order.nodes,
    count: `${order.stopped}/${order.nodes} stopped${slowest}`,
    unacknowledged: [
      ...(order.stored ? [] : [notStored]),
      ...(order.unacknowledged.length === 0 ? [] : [`Not acknowledged: ${names}${more}`]),
    ].join(' '),
  };
}

/** The events that hold every word of the filter, in whatever field; newest first. */
export function eventsMatching(events: readonly Event[], filter: string): Event[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return events
    .filter(({ kind, subject, message }) => {
      const text = `${kind} ${subject} ${message}`.toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .toReversed();
}
