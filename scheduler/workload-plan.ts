// What a pass does for one workload, step by step:
//
//   forget         what its node lost, what has drained, what is outdated and does not run
//   replaceFailed  elsewhere, later each time
//   fill           what is missing, and while a change rolls as many more as it may have (maxSurge)
//   retire         what is outdated, or too many: as many as the ready ones allow (maxUnavailable)
//   makeRoom       on a full rack, where there is no place for one more: one goes first
//   judge          what an operator must know, in words
//
// Outdated is an instance of an earlier revision, and one on a node that is being drained: both are replaced in the same way.
import { isServing } from '../inventory/customers/placement.ts';
import { itemsPerLook, type Sliced, sorted } from '../inventory/slices.ts';
import type { Mac } from '../protocol/mac.ts';
import { lostAfterMs } from '../protocol/timing.ts';
import { compare, zoneOf } from './capacity.ts';
import type { Pass, Placer } from './pass.ts';
import type { WorldInstance, WorldWorkload } from './world.ts';

/** An instance that failed is replaced after this long, doubled for each failure in a row. */
const retryMs = 5_000;
const retryLimitMs = 300_000;
/** One that held out this long before it failed starts counting from nothing. */
const forgivenAfterMs = 600_000;
/** From then on it is no accident, and why it ended last is no news. */
const crashLoopRestarts = 3;

export interface Task {
  workload: WorldWorkload;
  instances: WorldInstance[];
  /** Its customer runs on where its node is not heard. */
  holds: boolean;
  pass: Pass;
  placer: Placer;
}

/** What there is after `forget` and `replaceFailed`. */
interface Standing {
  current: WorldInstance[];
  outdated: WorldInstance[];
  /** Being drained, or removed for it in this pass: they have their place until then, and count no more. */
  leaving: number;
}

/** Returns the problem, empty where there is none. */
export function* planWorkload(task: Task): Sliced<string> {
  const { standing, leaving } = yield* forget(task);
  const kept = yield* replaceFailed(task, standing);
  const current = kept.filter((instance) => !isOutdated(task, instance));
  const outdated = kept.filter((instance) => isOutdated(task, instance));
  const all: Standing = { current, outdated, leaving };
  const missing = yield* fill(task, all);
  const retired = yield* retire(task, all);
  const isStuck = retired === 0 && (yield* makeRoom(task, all));
  return judge(task, { ...all, missing, isStuck });
}

function* forget(task: Task): Sliced<{ standing: WorldInstance[]; leaving: number }> {
  const { workload, pass, placer } = task;
  const standing: WorldInstance[] = [];
  let leaving = 0;
  for (const [at, instance] of task.instances.entries()) {
    const gone = goneFrom(pass, instance.node);
    if (gone !== undefined) pass.remove(instance, gone);
    else if (instance.draining !== undefined) {
      leaving++;
      const { at: since, reason } = instance.draining;
      if (instance.state !== 'running' || pass.isDue(since + workload.update.drainMs)) pass.remove(instance, reason);
    } else {
      const outdated = whyOutdated(task, instance);
      placer.count(instance.node, { stays: outdated === undefined });
      if (outdated !== undefined && instance.state !== 'running') pass.remove(instance, outdated);
      else standing.push(instance);
    }
    if (at % itemsPerLook === itemsPerLook - 1) yield;
  }
  return { standing, leaving };
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
function* replaceFailed(task: Task, standing: WorldInstance[]): Sliced<WorldInstance[]> {
  const { workload, pass, placer } = task;
  const isRolling = standing.some((instance) => isOutdated(task, instance));
  const most = workload.replicas + (isRolling ? workload.update.maxSurge : 0);
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

/** Returns how many are missing still, of those that are wanted without any change. */
function* fill(task: Task, { current, outdated }: Standing): Sliced<number> {
  const { workload, placer } = task;
  const { replicas, update } = workload;
  const count = current.length + placer.placed;
  const missing = replicas - count - outdated.length;
  const surge = outdated.length > 0 ? update.maxSurge : 0;
  const wanted = Math.min(replicas - count, missing + surge);
  const [first] = outdated;
  const change = first === undefined ? 'wanted' : (whyOutdated(task, first) ?? 'wanted');
  let placed = 0;
  for (; placed < wanted; placed++) {
    if (!placer.place({ attempt: 0, avoid: undefined, reason: placed < missing ? 'wanted' : change })) break;
    yield;
  }
  return Math.max(0, missing - placed);
}

/**
 * What is outdated goes as far as enough ready ones are left without it; then what is too many. What was placed in this pass
 * counts for nothing yet. Returns how many go.
 */
function* retire(task: Task, { current, outdated }: Standing): Sliced<number> {
  const { workload } = task;
  const least = workload.replicas - (workload.update.maxUnavailable ?? 0);
  let ready = [...current, ...outdated].filter((instance) => isReady(task, instance)).length;
  let count = current.length + outdated.length;
  let gone = 0;
  for (const instance of yield* leavingOrder(task, { leaving: outdated, stay: current })) {
    if (count <= least || (isReady(task, instance) && ready <= least)) break;
    leave(task, { instance, reason: whyOutdated(task, instance) ?? '' });
    if (isReady(task, instance)) ready--;
    count--;
    gone++;
  }
  const surplus = Math.max(0, current.length - workload.replicas);
  for (const instance of (yield* leavingOrder(task, { leaving: current, stay: [] })).slice(0, surplus))
    leave(task, { instance, reason: `${workload.replicas} wanted` });
  return gone + surplus;
}

/**
 * No place for one more, and nothing on its way: one outdated goes first, if the new one fits in its place. Only that one is
 * down meanwhile. Not where the workload says itself how many may be. Returns whether the change is stuck.
 */
function* makeRoom(task: Task, { current, outdated, leaving }: Standing): Sliced<boolean> {
  const { workload, placer } = task;
  if (outdated.length === 0 || placer.refusal === undefined || placer.placed > 0 || leaving > 0) return false;
  if (!current.every((instance) => isReady(task, instance))) return false;
  if (workload.update.maxUnavailable !== undefined) return true;
  for (const [at, instance] of (yield* leavingOrder(task, { leaving: outdated, stay: current })).entries()) {
    if (placer.wouldFitInsteadOf(instance)) {
      leave(task, { instance, reason: whyOutdated(task, instance) ?? '' });
      return false;
    }
    if (at % itemsPerLook === itemsPerLook - 1) yield;
  }
  return true;
}

/** Ready ones are drained before they end: whoever sends them traffic hears of it and turns elsewhere. */
function leave(task: Task, { instance, reason }: { instance: WorldInstance; reason: string }): void {
  const { workload, pass } = task;
  if (isReady(task, instance) && workload.update.drainMs > 0) pass.drain(instance, reason);
  else pass.remove(instance, reason);
}

function judge(task: Task, found: Standing & { missing: number; isStuck: boolean }): string {
  const { workload, placer } = task;
  const { current, outdated, leaving, missing, isStuck } = found;
  const { replicas } = workload;
  // What leaves makes room, in a moment.
  if (missing > 0 && placer.refusal !== undefined && leaving === 0)
    return `${missing} of ${replicas} replicas have no place: ${placer.refusal}`;
  if (isStuck) {
    const isChange = outdated.some((instance) => isOld(workload, instance));
    const why = isChange ? 'wait for their change' : 'wait to leave their node';
    return `${outdated.length} of ${replicas} replicas ${why}: ${placer.refusal}`;
  }
  const failed = [...current, ...outdated].filter(({ state }) => state === 'failed');
  const [first] = failed;
  if (first === undefined) return judgeReadiness(task, found);
  const why = placer.refusal === undefined ? '' : `; no other place: ${placer.refusal}`;
  return `${failed.length} of ${replicas} replicas failed: ${first.reason} on ${nameOf(task, first)}${why}`;
}

/** One that is new gets its time; from then on it is told what is not ready, and that a change does not go on without it. */
function judgeReadiness(task: Task, { current, outdated }: Standing): string {
  const { workload, pass } = task;
  const late = current.filter(
    (instance) =>
      // Of a node that is not heard its own event tells.
      pass.capacity.node(instance.node)?.state === 'ready' &&
      !isReady(task, instance) &&
      pass.isDue(instance.placedAt + workload.update.deadlineMs),
  );
  const [first] = late;
  if (first === undefined) return '';
  const { restarts = 0 } = first;
  const why =
    restarts >= crashLoopRestarts
      ? 'it ends again and again'
      : first.reason.replace(/^not ready: /, '').replace(/; again in .*$/, '') || first.state;
  const where = nameOf(task, first);
  if (outdated.some((instance) => isOld(workload, instance)))
    return `the change is halted, ${outdated.length} go on as before: ${first.id} on ${where} is not ready: ${why}`;
  return `${late.length} of ${workload.replicas} replicas are not ready: ${why} on ${where}`;
}

function nameOf({ pass }: Task, { node }: WorldInstance): string {
  return pass.capacity.node(node)?.name ?? node;
}

function isReady({ holds, pass }: Task, instance: WorldInstance): boolean {
  return isServing(instance, { node: pass.capacity.node(instance.node), holds });
}

function rank(task: Task, instance: WorldInstance): number {
  if (instance.state === 'failed') return 0;
  return isReady(task, instance) ? 3 : instance.state === 'running' ? 2 : 1;
}

/**
 * Who goes first: failed, not running, not ready, in the zone and then on the node with most of them and of those that `stay`,
 * youngest.
 */
function* leavingOrder(
  task: Task,
  { leaving, stay }: { leaving: WorldInstance[]; stay: WorldInstance[] },
): Sliced<WorldInstance[]> {
  if (leaving.length === 0) return leaving;
  const { workload, pass } = task;
  const zone = ({ node }: WorldInstance): string => zoneOf(workload, pass.capacity.node(node));
  const inZone = workload.spread === undefined ? new Map<string, number>() : yield* crowds({ leaving, stay, of: zone });
  const onNode = yield* crowds({ leaving, stay, of: ({ node }) => node });
  const by = (crowd: Map<string, number>) => (a: WorldInstance, b: WorldInstance) =>
    (crowd.get(b.id) ?? 0) - (crowd.get(a.id) ?? 0);
  const [byZone, byNode] = [by(inZone), by(onNode)];
  return yield* sorted(
    leaving,
    (a, b) => rank(task, a) - rank(task, b) || byZone(a, b) || byNode(a, b) || compare(b.id, a.id),
  );
}

/** By id: how many of those that stay, and of older ones that leave, are in the same place. */
function* crowds({
  leaving,
  stay,
  of,
}: {
  leaving: WorldInstance[];
  stay: WorldInstance[];
  of: (instance: WorldInstance) => string;
}): Sliced<Map<string, number>> {
  const staying = new Map<string, number>();
  for (const instance of stay) staying.set(of(instance), (staying.get(of(instance)) ?? 0) + 1);
  const crowd = new Map<string, number>();
  for (const [place, group] of Map.groupBy(leaving, of)) {
    for (const [position, { id }] of group.toSorted((a, b) => compare(a.id, b.id)).entries())
      crowd.set(id, (staying.get(place) ?? 0) + position);
    yield;
  }
  return crowd;
}

function isOld({ specRevision }: WorldWorkload, instance: WorldInstance): boolean {
  return instance.specRevision !== specRevision;
}

/** Why it is to be replaced though nothing is wrong with it; undefined where it may stay. */
function whyOutdated({ workload, pass }: Task, instance: WorldInstance): string | undefined {
  if (isOld(workload, instance)) return 'its workload was changed';
  const node = pass.capacity.node(instance.node);
  return node?.placement === 'draining' ? `${node.name} is being drained` : undefined;
}

function isOutdated(task: Task, instance: WorldInstance): boolean {
  return whyOutdated(task, instance) !== undefined;
}
