// The API's types from the inventory's documents: every screen and every `--json` shows what these functions return.
// Each returns undefined where there is no such thing (any more).
import type { Customer } from '../../protocol/api/customers.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import { type Node, type NodeState, nodeStates } from '../../protocol/api/nodes.ts';
import type { KillNode, KillOrder, KillTimeline } from '../../protocol/api/orders.ts';
import type { Status } from '../../protocol/api/status.ts';
import type { ChangedWorkload, Revision, Workload, WorkloadSpec } from '../../protocol/api/workloads.ts';
import { containerCapabilities } from '../../protocol/container/capabilities.ts';
import { defaultStopGraceMs } from '../../protocol/container/stop-signal.ts';
import type { Mac } from '../../protocol/mac.ts';
import { filledChecks } from '../../protocol/workload/checks.ts';
import { labelsOf } from '../../protocol/workload/labels.ts';
import { filledUpdate } from '../../protocol/workload/update.ts';
import { everything } from '../../protocol/roll-call.ts';
import { isServing } from '../../inventory/customers/placement.ts';
import { workloadLimits } from '../../inventory/customers/workload-limits.ts';
import type { ChangedWorkload as InventoryChange } from '../../inventory/customers/workloads.ts';
import type {
  InstanceDocument,
  NodeDocument,
  OrderDocument,
  WorkloadDocument,
} from '../../inventory/store/documents.ts';
import { lastDrill } from './drill-views.ts';
import { isDrillOrder } from '../../inventory/drills/drills.ts';
import type { Inventory } from '../../inventory/inventory.ts';

export function nodeView(inventory: Inventory, mac: Mac): Node | undefined {
  const node = inventory.nodes.get(mac);
  if (node === undefined) return undefined;
  const instances = inventory.instances.on(mac);
  const {
    name,
    slot,
    state,
    since,
    reason,
    stage,
    firmware,
    ip,
    bootId,
    serial,
    fenced,
    facts,
    placement = 'open',
  } = node;
  return {
    mac,
    name,
    slot,
    state,
    since,
    reason,
    stage,
    firmware,
    ip,
    bootId,
    serial,
    fenced,
    placement,
    labels: labelsOf(node),
    facts,
    lastHeartbeatAt: inventory.nodes.lastHeartbeatWallClock(mac) ?? null,
    bootDurationMs: node.readyAt === null || node.firstDhcpAt === null ? null : node.readyAt - node.firstDhcpAt,
    instances: instances.length,
    customers: [...new Set(instances.map(({ customer }) => customer))].toSorted(),
    // What a node said of itself before it started anew is not how it is.
    sample: isBooting(state) ? null : (inventory.samples.latest(mac) ?? null),
  };
}

function isBooting(state: NodeState): boolean {
  return state === 'seen' || state === 'loading' || state === 'joining';
}

export function customerView(inventory: Inventory, name: string): Customer | undefined {
  const customer = inventory.customers.get(name);
  if (customer === undefined) return undefined;
  const instances = inventory.instances.of(name);
  return {
    ...customer,
    killedBy: inventory.orders.killedBy(name) ?? null,
    workloads: inventory.workloads.all().filter((workload) => workload.customer === name).length,
    instances: instances.length,
    running: running(instances),
  };
}

export function workloadView(
  inventory: Inventory,
  { customer, name }: Pick<Workload, 'customer' | 'name'>,
): Workload | undefined {
  const workload = inventory.workloads.get(customer, name);
  return workload === undefined ? undefined : viewOf(inventory, workload);
}

/** Newest first. */
export function historyView(inventory: Inventory, { customer, name }: Pick<Workload, 'customer' | 'name'>): Revision[] {
  const revisions = inventory.workloads.history(customer, name)?.revisions ?? [];
  return revisions
    .map(({ revision, at, by, image, changes }, index) => ({
      revision,
      at,
      by,
      image: image.name,
      digest: image.digest,
      changes,
      current: index === revisions.length - 1,
    }))
    .toReversed();
}

/** Of a change, also of one that was only tried. */
export function changedView(inventory: Inventory, { workload, changes }: InventoryChange): ChangedWorkload {
  return { ...viewOf(inventory, workload), changes };
}

function viewOf(inventory: Inventory, document: WorkloadDocument): Workload {
  const { customer, name, spec, image, specRevision, createdAt } = document;
  const order = inventory.orders.killedBy(customer);
  const instances = inventory.instances.of(customer, name);
  const ready = instances.filter((instance) => isReady(inventory, instance));
  return {
    customer,
    name,
    image: spec.image,
    replicas: spec.replicas,
    command: spec.command ?? null,
    env: Object.keys(spec.env ?? {}),
    port: spec.port ?? null,
    ...workloadLimits(spec),
    user: spec.user ?? null,
    capabilities: [...(spec.capabilities ?? containerCapabilities)],
    stopSignal: spec.stopSignal ?? null,
    stopGraceMs: spec.stopGraceMs ?? defaultStopGraceMs,
    stopped: spec.stopped === true,
    onSilence: inventory.customers.get(customer)?.onSilence ?? 'stop',
    createdAt,
    revision: specRevision,
    checks: filledChecks({ checks: spec.checks, port: spec.port, healthcheck: image.config.healthcheck }) ?? {},
    update: updateOf(spec),
    placement: spec.placement ?? {},
    running: running(instances),
    ready: ready.length,
    updated: ready.filter((instance) => instance.specRevision === specRevision).length,
    problem: order === undefined ? inventory.workloads.problemOf(customer, name) : `stopped by kill order ${order}`,
  };
}

function updateOf(spec: WorkloadSpec): Workload['update'] {
  const { maxUnavailable, ...rest } = filledUpdate(spec);
  return maxUnavailable === undefined ? rest : { ...rest, maxUnavailable };
}

function isReady(inventory: Inventory, instance: InstanceDocument): boolean {
  const holds = inventory.customers.get(instance.customer)?.onSilence === 'hold';
  return isServing(instance, { node: inventory.nodes.get(instance.node), holds });
}

/** Why one that its node called running is not ready. */
function runningReason({
  instance: { draining, reason },
  node,
}: {
  instance: InstanceDocument;
  node: NodeDocument | undefined;
}): string {
  if (draining !== undefined) return `draining: ${draining.reason}`;
  return node?.state === 'silent' ? `its node is not heard${reason === '' ? '' : `; before: ${reason}`}` : reason;
}

export function instanceView(inventory: Inventory, id: string): Instance | undefined {
  const instance = inventory.instances.get(id);
  if (instance === undefined) return undefined;
  const { customer, workload, node: mac, state, reason, since, restarts, port } = instance;
  const node = inventory.nodes.get(mac);
  const ip = node?.ip ?? null;
  const order = inventory.orders.killedBy(customer);
  return {
    id,
    customer,
    workload,
    node: mac,
    state,
    // The node only knows that it is no longer wanted; why, is known here.
    reason:
      order !== undefined && state === 'stopped'
        ? `kill order ${order}`
        : state === 'running'
          ? runningReason({ instance, node })
          : reason,
    since,
    restarts,
    ready: isReady(inventory, instance),
    nodeName: node?.name ?? mac,
    endpoint: ip === null || port === null ? null : `http://${ip}:${port}`,
  };
}

export function orderView(inventory: Inventory, number: number): KillOrder | undefined {
  const order = inventory.orders.get(number);
  return order === undefined ? undefined : summary(inventory, { order, timeline: timelineOf(inventory, order) });
}

/** Nodes in the order in which they acknowledged, then those that have not. */
export function orderTimeline(inventory: Inventory, number: number): KillTimeline | undefined {
  const order = inventory.orders.get(number);
  if (order === undefined) return undefined;
  const timeline = timelineOf(inventory, order);
  return { ...summary(inventory, { order, timeline }), timeline };
}

function timelineOf(inventory: Inventory, order: OrderDocument): KillNode[] {
  const receipts = new Map(inventory.orders.receipts(order.number).map((receipt) => [receipt.mac, receipt]));
  return order.targets
    .map((mac) => {
      const receipt = receipts.get(mac);
      return {
        mac,
        name: inventory.nodes.get(mac)?.name ?? mac,
        evidence: receipt?.evidence ?? null,
        sentAfterMs: inventory.orders.sentAfterMs(order.number, mac),
        stoppedAfterMs: receipt?.stoppedAfterMs ?? null,
        evidenceAfterMs: receipt?.evidenceAfterMs ?? null,
        processes: receipt?.processes ?? 0,
        escalation: inventory.orders.escalationSteps(order.number, mac),
      };
    })
    .toSorted((a, b) => (a.evidenceAfterMs ?? Infinity) - (b.evidenceAfterMs ?? Infinity) || 0);
}

function summary(inventory: Inventory, { order, timeline }: { order: OrderDocument; timeline: KillNode[] }): KillOrder {
  const { number, scope, reason, by, at, liftedAt, liftedBy } = order;
  const times = timeline.flatMap(({ evidenceAfterMs }) => evidenceAfterMs ?? []);
  return {
    number,
    scope,
    reason,
    by,
    at,
    liftedAt,
    liftedBy: liftedBy ?? null,
    stored: inventory.orders.isStored(number),
    nodes: timeline.length,
    stopped: times.length,
    slowestMs: times.length === 0 ? null : Math.max(...times),
    unacknowledged: timeline.flatMap(({ name, evidence }) => (evidence === null ? [name] : [])).toSorted(),
    holding: inventory.customers
      .all()
      .flatMap(({ name, onSilence }) => (onSilence === 'hold' && [name, everything].includes(scope) ? [name] : [])),
  };
}

export function statusCounts(
  inventory: Inventory,
): Pick<Status, 'nodes' | 'customers' | 'instances' | 'running' | 'standingOrders' | 'problems' | 'lastDrill'> {
  const nodes: Record<string, number> = Object.fromEntries(nodeStates.map((state) => [state, 0]));
  for (const { state } of inventory.nodes.all()) nodes[state] = (nodes[state] ?? 0) + 1;
  const instances = inventory.instances.all();
  return {
    nodes,
    customers: inventory.customers.all().length,
    instances: instances.length,
    running: running(instances),
    standingOrders: inventory.orders.standing().filter((order) => !isDrillOrder(order)).length,
    problems: inventory.problems(),
    lastDrill: lastDrill(inventory),
  };
}

function running(instances: InstanceDocument[]): number {
  return instances.filter(({ state }) => state === 'running').length;
}
