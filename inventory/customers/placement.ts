// Decisions about instances: where they are put, and what their nodes say of them.
import type { DesiredInstance, InstanceReport } from '../../protocol/api/agent.ts';
import { type InstanceState, instanceStates } from '../../protocol/api/instances.ts';
import { instancesPerNodeLimit, reportedInstancesLimit } from '../../protocol/desired-state.ts';
import type { Mac } from '../../protocol/mac.ts';
import { configurationOf, forgetConfigurations, resolve } from './configurations.ts';
import { killedBy } from './permitted-customers.ts';
import { workloadLimits } from './workload-limits.ts';
import type { InstanceDocument, NodeDocument, WorkloadDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Cache, View } from '../store/cache.ts';

/** What the scheduler wants done, each step on its own applicable or not, see `InstanceBook.apply`. */
export type Placement =
  | {
      kind: 'place';
      /** `<workload>-<number in 8 hex>`: see `nextInstanceNumber`. */
      id: string;
      customer: string;
      workload: string;
      node: Mac;
      port: number | null;
      specRevision: number;
      /** How many instances failed in a row before this one in its stead; none where left out. */
      attempt?: number;
      reason: string;
    }
  /** It is not called ready any more; a later step removes it. */
  | { kind: 'drain'; id: string; reason: string }
  | { kind: 'remove'; id: string; reason: string };

/** `<workload>-<number in 8 hex>`; the number is the whole inventory's, so the id is never used twice. */
export function instanceId(workload: string, number: number): string {
  return `${workload}-${number.toString(16).padStart(8, '0')}`;
}

export function nextInstanceNumber(view: View): number {
  return (view.get('counters', 'instances')?.value ?? 0) + 1;
}

/** A plan may be older than the inventory, or be carried out twice: a step that does not fit any more is left out. */
export function decidePlacement(
  transaction: Transaction,
  { placements, now }: { placements: Placement[]; now: number },
): { applied: number } {
  let applied = 0;
  const removed: InstanceDocument[] = [];
  for (const placement of placements) {
    if (placement.kind === 'place') {
      if (place(transaction, { ...placement, now })) applied++;
      continue;
    }
    if (placement.kind === 'drain') {
      if (drain(transaction, { ...placement, now })) applied++;
      continue;
    }
    const instance = remove(transaction, placement);
    if (instance === undefined) continue;
    removed.push(instance);
    applied++;
  }
  forgetConfigurations(transaction, removed);
  return { applied };
}

function place(transaction: Transaction, placement: Placement & { kind: 'place'; now: number }): boolean {
  const { id, customer, port, reason, now } = placement;
  const number = Number.parseInt(id.slice(-8), 16);
  const workload = transaction.get('workloads', `${customer}/${placement.workload}`);
  const node = transaction.get('nodes', placement.node);
  if (workload === undefined || workload.specRevision !== placement.specRevision) return false;
  if (node === undefined || node.state !== 'ready' || node.fenced) return false;
  if (number < nextInstanceNumber(transaction) || id !== instanceId(workload.name, number)) return false;
  if (killedBy(transaction, customer) !== undefined) return false;
  const neighbours = transaction.instancesOn(placement.node);
  if (neighbours.length >= instancesPerNodeLimit) return false;
  if (port !== null && neighbours.some((other) => other.port === port)) return false;
  const { sha256, problem } = resolve(workload);
  if (problem !== undefined) return false;
  if (transaction.get('configurations', sha256) === undefined)
    transaction.put('configurations', sha256, configurationOf(workload));
  transaction.put('counters', 'instances', { value: number });
  transaction.put('instances', `${customer}/${workload.name}/${id}`, {
    id,
    customer,
    workload: workload.name,
    node: placement.node,
    port,
    specRevision: workload.specRevision,
    attempt: placement.attempt ?? 0,
    desired: desiredInstance(workload, { id, port }),
    placedAt: now,
    state: 'placed',
    reason,
    since: now,
    restarts: 0,
  });
  transaction.event('instance', id, `placed on ${node.name}: ${reason}`);
  return true;
}

/** An instance as its node is told it. */
function desiredInstance(
  workload: WorkloadDocument,
  { id, port }: { id: string; port: number | null },
): DesiredInstance {
  const { customer, name, spec, image } = workload;
  return {
    id,
    customer,
    workload: name,
    squashfs: image.squashfs,
    configuration: resolve(workload).sha256,
    ...workloadLimits(spec),
    port: port === null || spec.port === undefined ? null : { container: spec.port, node: port },
  };
}

function drain(transaction: Transaction, { id, reason, now }: Placement & { kind: 'drain'; now: number }): boolean {
  const key = transaction.instanceKey(id);
  const instance = key === undefined ? undefined : transaction.get('instances', key);
  if (key === undefined || instance === undefined || instance.draining !== undefined) return false;
  transaction.put('instances', key, { ...instance, draining: { at: now, reason } });
  transaction.event('instance', id, `draining: ${reason}`);
  return true;
}

function remove(
  transaction: Transaction,
  { id, reason }: Placement & { kind: 'remove' },
): InstanceDocument | undefined {
  const key = transaction.instanceKey(id);
  const instance = key === undefined ? undefined : transaction.get('instances', key);
  if (key === undefined || instance === undefined) return undefined;
  transaction.remove('instances', key);
  transaction.event('instance', id, `removed: ${reason}`);
  return instance;
}

/** What is to be stored of a report: what differs from what is known, and what should be there and is not named. */
export function reportNews(
  cache: Cache,
  { mac, reports }: { mac: Mac; reports: InstanceReport[] },
): { news: InstanceReport[]; missing: string[] } {
  // Most reports bring nothing new: those cost no transaction.
  const news = reports.filter((report) => {
    const instance = cache.get('instances', cache.instanceKey(report.id) ?? '');
    return instance !== undefined && differs(instance, report);
  });
  // One that is full may have been cut off.
  const isWhole = reports.length < reportedInstancesLimit;
  const named = new Set(reports.map(({ id }) => id));
  const missing = cache
    .instancesOn(mac)
    .flatMap((each) => (isWhole && claimsLife(each) && !named.has(each.id) ? each.id : []));
  return { news, missing };
}

/** Only what changed is stored; an id that is not placed on this node is somebody else's, or gone. */
export function decideReport(
  transaction: Transaction,
  { mac, reports, now }: { mac: Mac; reports: InstanceReport[]; now: number },
): void {
  for (const { id, reason, restarts, ready, ...report } of reports) {
    const state = instanceStates.find((each) => each === report.state);
    const key = transaction.instanceKey(id);
    const instance = key === undefined ? undefined : transaction.get('instances', key);
    if (state === undefined || key === undefined || instance === undefined || instance.node !== mac) continue;
    if (!differs(instance, { state, reason, restarts, ready })) continue;
    // Written before the node's receipt, arrived after it.
    const order = killedBy(transaction, instance.customer);
    if (state === 'running' && order !== undefined && transaction.get('receipts', `${order}/${mac}`) !== undefined)
      continue;
    const since = state === instance.state ? instance.since : now;
    const { ready: _ready, ...before } = instance;
    const next = { ...before, state, reason, restarts, since, ...(ready !== undefined && { ready }) };
    transaction.put('instances', key, next);
    if (state !== instance.state || restarts > instance.restarts)
      transaction.event('instance', id, reason === '' ? state : `${state}: ${reason}`);
    else if (isReady(next) !== isReady(instance)) transaction.event('instance', id, isReady(next) ? 'ready' : reason);
  }
}

/** An agent that knows of no checks says nothing of them: what runs on its node is ready. */
export function isReady({ state, ready, draining }: Pick<InstanceDocument, 'state' | 'ready' | 'draining'>): boolean {
  return state === 'running' && ready !== false && draining === undefined;
}

/**
 * Whether it may be sent traffic now. A node that is not heard has stopped whom nobody vouches for, whatever it said last; whoever
 * holds on silence runs on.
 */
export function isServing(
  instance: Pick<InstanceDocument, 'state' | 'ready' | 'draining'>,
  { node, holds }: { node: Pick<NodeDocument, 'state'> | undefined; holds: boolean },
): boolean {
  return isReady(instance) && (node?.state === 'ready' || (holds && node?.state === 'silent'));
}

/** A report names all that is on its node: what it does not name is not there, whatever an earlier one said. */
export function decideMissing(
  transaction: Transaction,
  { mac, ids, now }: { mac: Mac; ids: readonly string[]; now: number },
): void {
  const reason = 'its node no longer reports it';
  for (const id of ids) {
    const key = transaction.instanceKey(id);
    const instance = key === undefined ? undefined : transaction.get('instances', key);
    if (key === undefined || instance === undefined || instance.node !== mac || !claimsLife(instance)) continue;
    // A node is not even told of a killed customer's instances; another's it will start when it knows of them.
    const state: InstanceState = killedBy(transaction, instance.customer) === undefined ? 'placed' : 'stopped';
    transaction.put('instances', key, { ...instance, state, reason, since: now });
    transaction.event('instance', id, `${state}: ${reason}`);
  }
}

/** It ran, or was about to, when its node last named it. */
function claimsLife({ state }: InstanceDocument): boolean {
  return state === 'fetching' || state === 'starting' || state === 'running' || state === 'exited';
}

function differs(
  instance: InstanceDocument,
  report: Pick<InstanceReport, 'state' | 'reason' | 'restarts'> & { ready?: boolean | undefined },
): boolean {
  return (
    instance.state !== report.state ||
    instance.reason !== report.reason ||
    instance.restarts !== report.restarts ||
    instance.ready !== report.ready
  );
}
