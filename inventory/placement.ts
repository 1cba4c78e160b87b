// Decisions about instances: where they are put, what their nodes say of them, and what a node is told.
import { type Desired, type DesiredInstance, type InstanceReport, instanceStates } from '../protocol/api.ts';
import type { Mac } from '../protocol/mac.ts';
import { customersPerNodeLimit, everything, type PermittedCustomer } from '../protocol/roll-call.ts';
import { workloadLimits } from './customers.ts';
import type { InstanceDocument, WorkloadDocument } from './documents.ts';
import type { Draft } from './draft.ts';
import type { Placement } from './inventory.ts';
import type { Memory, View } from './memory.ts';

/** `<workload>-<number in 8 hex>`; the number is the whole inventory's, so the id is never used twice. */
export function instanceId(workload: string, number: number): string {
  return `${workload}-${number.toString(16).padStart(8, '0')}`;
}

export function nextInstanceNumber(view: View): number {
  return (view.get('counters', 'instances')?.value ?? 0) + 1;
}

/** A plan may be older than the inventory, or be carried out twice: a step that does not fit any more is left out. */
export function decidePlacement(draft: Draft, placements: Placement[], now: number): { applied: number } {
  let applied = 0;
  for (const placement of placements)
    if (placement.kind === 'place' ? place(draft, placement, now) : remove(draft, placement)) applied++;
  return { applied };
}

function place(draft: Draft, placement: Placement & { kind: 'place' }, now: number): boolean {
  const { id, customer, port, reason } = placement;
  const number = Number.parseInt(id.slice(-8), 16);
  const workload = draft.get('workloads', `${customer}/${placement.workload}`);
  const node = draft.get('nodes', placement.node);
  if (workload === undefined || workload.specRevision !== placement.specRevision) return false;
  if (node === undefined || node.state !== 'ready' || node.fenced) return false;
  if (number < nextInstanceNumber(draft) || id !== instanceId(workload.name, number)) return false;
  if (killedBy(draft, customer) !== undefined) return false;
  if (port !== null && draft.instancesOn(placement.node).some((other) => other.port === port)) return false;
  draft.put('counters', 'instances', { value: number });
  draft.put('instances', `${customer}/${workload.name}/${id}`, {
    id,
    customer,
    workload: workload.name,
    node: placement.node,
    port,
    specRevision: workload.specRevision,
    attempt: placement.attempt ?? 0,
    desired: resolve(workload, { id, port }),
    placedAt: now,
    state: 'placed',
    reason,
    since: now,
    restarts: 0,
  });
  draft.event('instance', id, `placed on ${node.name}: ${reason}`);
  return true;
}

function remove(draft: Draft, { id, reason }: Placement & { kind: 'remove' }): boolean {
  const key = draft.instanceKey(id);
  if (key === undefined) return false;
  draft.remove('instances', key);
  draft.event('instance', id, `removed: ${reason}`);
  return true;
}

/** An image's own words and the workload's, as crun will get them. */
function resolve(
  { customer, name, spec, image }: WorkloadDocument,
  { id, port }: { id: string; port: number | null },
): DesiredInstance {
  const { config } = image;
  const [uid, gid] = config.user.split(':').map(Number);
  const env = new Map(config.env.map((line) => splitOnce(line)));
  for (const [key, value] of Object.entries(spec.env ?? {})) env.set(key, value);
  return {
    id,
    customer,
    workload: name,
    squashfs: image.squashfs,
    args: spec.command ?? [...config.entrypoint, ...config.cmd],
    env: Array.from(env, ([key, value]) => `${key}=${value}`),
    workingDir: config.workingDir === '' ? '/' : config.workingDir,
    uid: uid ?? 0,
    gid: gid ?? uid ?? 0,
    ...workloadLimits(spec),
    port: port === null || spec.port === undefined ? null : { container: spec.port, node: port },
  };
}

function splitOnce(line: string): [string, string] {
  const at = line.indexOf('=');
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}

/** Only what changed is stored; an id that is not placed on this node is somebody else's, or gone. */
export function decideReport(
  draft: Draft,
  mac: Mac,
  { reports, now }: { reports: InstanceReport[]; now: number },
): void {
  for (const { id, reason, restarts, ...report } of reports) {
    const state = instanceStates.find((each) => each === report.state);
    const key = draft.instanceKey(id);
    const instance = key === undefined ? undefined : draft.get('instances', key);
    if (state === undefined || key === undefined || instance === undefined || instance.node !== mac) continue;
    if (!differs(instance, { state, reason, restarts })) continue;
    // Written before the node's receipt, arrived after it.
    const order = killedBy(draft, instance.customer);
    if (state === 'running' && order !== undefined && draft.get('receipts', `${order}/${mac}`) !== undefined) continue;
    const since = state === instance.state ? instance.since : now;
    draft.put('instances', key, { ...instance, state, reason, restarts, since });
    if (state !== instance.state || restarts > instance.restarts)
      draft.event('instance', id, reason === '' ? state : `${state}: ${reason}`);
  }
}

export function differs(instance: InstanceDocument, report: Omit<InstanceReport, 'id'>): boolean {
  return instance.state !== report.state || instance.reason !== report.reason || instance.restarts !== report.restarts;
}

/** The order that stops this customer: its own or the one for everything. */
export function killedBy(view: View, customer: string): number | undefined {
  return (view.get('kill', customer) ?? view.get('kill', everything))?.number;
}

/** Customers with instances on that node who may run there, sorted, at most as many as a permit has room for. */
export function permitted(memory: Memory, mac: Mac): PermittedCustomer[] {
  const node = memory.get('nodes', mac);
  if (node === undefined || node.fenced || memory.get('kill', everything) !== undefined) return [];
  const names = new Set(memory.instancesOn(mac).map(({ customer }) => customer));
  return [...names]
    .filter((name) => killedBy(memory, name) === undefined)
    .toSorted()
    .slice(0, customersPerNodeLimit)
    .flatMap((name) => {
      const customer = memory.get('customers', name);
      return customer === undefined ? [] : [{ customer: name, hold: customer.onSilence === 'hold' }];
    });
}

export function desired(memory: Memory, mac: Mac): Desired {
  const customers = permitted(memory, mac).flatMap(({ customer }) => memory.get('customers', customer) ?? []);
  const names = new Set(customers.map(({ name }) => name));
  return {
    generation: Number(memory.generation(mac)),
    customers: customers.map(({ name, uidBase, memoryBytes, processes, onSilence }) => ({
      name,
      uidBase,
      memoryBytes,
      processes,
      onSilence,
    })),
    instances: memory
      .instancesOn(mac)
      .filter(({ customer }) => names.has(customer))
      .map((instance) => instance.desired),
  };
}
