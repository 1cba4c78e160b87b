// What a drill does next, decided from what is known; nothing here acts.
import type { Drill } from '../../protocol/api/drills.ts';
import type { InstanceState } from '../../protocol/api/instances.ts';
import type { NodeState } from '../../protocol/api/nodes.ts';
import type { Mac } from '../../protocol/mac.ts';
import { boundMs } from '../../protocol/timing.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { DrillResult } from '../api/drill-views.ts';

/** Nodes whose canary does not run by then are left out. */
export const deployLimitMs = 120_000;
/** Nodes without evidence by then count as unacknowledged: twice the bound, so that the figure of a late one is known. */
export const acknowledgeLimitMs = 2 * boundMs;
/** What the scheduler complains of may be about an earlier canary until it has planned for this one. */
const plannedAfterMs = 2_000;
/** Reasons that are kept one by one. */
const leftOutLimit = 100;

export interface CanaryNode {
  mac: Mac;
  name: string;
  /** undefined: the node is no longer known. */
  state: NodeState | undefined;
  fenced: boolean;
  instance: { state: InstanceState; reason: string } | undefined;
}

type Standing = { kind: 'running' | 'pending' | 'unplaced' } | { kind: 'out'; reason: string };

function standing({ state, fenced, instance }: CanaryNode): Standing {
  if (state === undefined) return { kind: 'out', reason: 'it was removed' };
  if (fenced) return { kind: 'out', reason: 'it is fenced' };
  if (state !== 'ready' && state !== 'silent') return { kind: 'out', reason: `it is ${state}` };
  if (instance?.state === 'failed') return { kind: 'out', reason: instance.reason };
  if (state === 'silent') return { kind: 'pending' };
  if (instance === undefined) return { kind: 'unplaced' };
  return { kind: instance.state === 'running' ? 'running' : 'pending' };
}

/** Whom to measure, once it is known of every node; `wait` until then. */
export function deployment(
  nodes: readonly CanaryNode[],
  { problem, elapsedMs }: { problem: string; elapsedMs: number },
): 'wait' | { ran: Mac[]; leftOut: string[] } {
  const standings = nodes.map((node) => ({ node, ...standing(node) }));
  if (elapsedMs < deployLimitMs) {
    const placeable = problem === '' || elapsedMs < plannedAfterMs;
    const waits = standings.some(({ kind }) => kind === 'pending' || (kind === 'unplaced' && placeable));
    if (waits) return 'wait';
  }
  const why = (each: (typeof standings)[number]): string => {
    if (each.kind === 'out') return each.reason;
    if (each.kind === 'unplaced') return problem === '' ? 'the canary was not placed in time' : problem;
    if (each.node.state === 'silent') return 'it is silent';
    return `the canary is still ${each.node.instance?.state ?? 'placed'} after ${deployLimitMs / 1_000} s`;
  };
  const left = standings.filter(({ kind }) => kind !== 'running').map((each) => `${each.node.name}: ${why(each)}`);
  const rest = left.length > leftOutLimit ? [`and ${left.length - leftOutLimit} more`] : [];
  return {
    ran: standings.filter(({ kind }) => kind === 'running').map(({ node }) => node.mac),
    leftOut: [...left.slice(0, leftOutLimit), ...rest],
  };
}

export interface Verdict {
  outcome: NonNullable<Drill['outcome']>;
  problem: string;
}

/** `restarted`: the controller, since the drill began: what is late then may be its own silence, and proves nothing. */
export function verdict(
  { nodes, stopped, slowestMs, unacknowledged }: DrillResult,
  { order, elapsedMs, restarted }: { order: OrderDocument | undefined; elapsedMs: number; restarted: boolean },
): 'wait' | Verdict {
  if (order === undefined) return { outcome: 'failed', problem: 'its kill order is not kept any more' };
  const complete = stopped === nodes;
  if (!complete && order.liftedAt !== null)
    return { outcome: 'failed', problem: `order ${order.number} was lifted before every node had acknowledged` };
  if (!complete && elapsedMs < acknowledgeLimitMs) return 'wait';
  const slowest = slowestMs ?? 0;
  if (complete && slowest <= boundMs) return { outcome: 'passed', problem: '' };
  if (restarted) return { outcome: 'failed', problem: 'the controller was restarted while it measured' };
  const late = slowest > boundMs ? [`the slowest node took ${(slowest / 1_000).toFixed(1)} s`] : [];
  const missing = complete
    ? []
    : [`${unacknowledged.length} of ${nodes} nodes did not acknowledge within ${acknowledgeLimitMs / 1_000} s`];
  return { outcome: 'late', problem: `${[...late, ...missing].join(', and ')}; the bound is ${boundMs / 1_000} s` };
}

/** At least one where there is one; all sets of that size are equally likely. */
export function drawNodes(
  ready: readonly Mac[],
  { share, random }: { share: number; random: (bytes: number) => Buffer },
): Mac[] {
  const count = Math.min(ready.length, Math.ceil(share * ready.length));
  const left = [...ready];
  for (let at = 0; at < count; at++) {
    const other = at + (random(6).readUIntBE(0, 6) % (left.length - at));
    const [one, two] = [left[at], left[other]];
    if (one === undefined || two === undefined) break;
    [left[at], left[other]] = [two, one];
  }
  return left.slice(0, count);
}
