// One run of one fault on this machine: all run → fault → order → measure → heal → nothing came back → lift → all run.
import { setTimeout as delay } from 'node:timers/promises';
import { heartbeatIntervalMs } from '../../../protocol/timing.ts';
import type { Run } from '../fault.ts';
import type { HostNode } from './node.ts';
import { monotonicMs, type Change } from './observer.ts';
import { keyOf, type AcceptedOrder, type Rig } from './rig.ts';
import { until } from '../../until.ts';

/** After this long without an end a run has failed: the promise is broken beyond measuring. */
const goneWithinMs = 30_000;
const trafficCutWithinMs = 5_000;

export interface Steps {
  /** The nodes that the fault is done to, and of which `gone` speaks. All, where it is left out. */
  struck?: (rig: Rig) => readonly HostNode[];
  /** Just before the order. */
  before?: () => Promise<void>;
  /** Gives the order; `rig.kill` where it is left out. */
  order?: () => Promise<AcceptedOrder>;
  /** At once when the order's answer is here. */
  after?: () => Promise<void>;
  /** Once `acme` is gone everywhere: throws where the fault did not take effect, or something is not as it must be. */
  verify?: (order: AcceptedOrder) => Promise<Record<string, number[]> | undefined>;
  /** Undoes the fault. Runs also when a step before it failed. */
  heal?: () => Promise<void>;
  /** Where the neighbour may stop too, because the fault takes its permits or its guard away. Nowhere, if left out. */
  boltMayStop?: 'on struck nodes' | 'anywhere';
}

export async function drill(rig: Rig, steps: Steps): Promise<Run> {
  try {
    return await run(rig, steps);
  } catch (error) {
    // The next fault finds the rack as this one did.
    if ((await rig.standingOrders()) > 0) await rig.lift('acme');
    throw error;
  }
}

async function run(rig: Rig, steps: Steps): Promise<Run> {
  const struck = steps.struck?.(rig) ?? rig.nodes;
  await rig.allRun();
  rig.observer.forget();
  const startedMs = monotonicMs();
  // A fault may meet any moment between two heartbeats.
  await delay(Math.random() * heartbeatIntervalMs);
  const { order, seen } = await strike(rig, steps);
  const gone = struck.map((node) => rig.observer.goneAfterMs(keyOf(node, 'acme'), order.acceptedMs) ?? Infinity);
  const { starvedMs } = rig.observer;
  await acknowledged(rig, order);
  neverBack(rig, order);
  const excused = steps.boltMayStop === 'anywhere' ? rig.nodes : steps.boltMayStop === 'on struck nodes' ? struck : [];
  for (const node of rig.nodes.filter((each) => !excused.includes(each))) {
    const changes = rig.observer.changes(keyOf(node, 'bolt'), startedMs);
    if (changes.length === 0) continue;
    const when = changes.map(({ populated, atMs }) => `${populated ? 'ran' : 'stopped'} ${atMs - order.acceptedMs} ms`);
    throw new Error(
      `bolt stopped on node ${node.number} (${node.mac}), which nobody ordered: ${when.join(', ')} after the order\n` +
        (await rig.lastEvents()),
    );
  }
  await rig.lift('acme');
  await rig.allRun();
  const others = rig.nodes.filter((node) => !struck.includes(node));
  const onOthers = others.map((node) => lastSeenMs(rig.observer.changes(keyOf(node, 'acme'), order.acceptedMs), order));
  const also = { ...seen, ...(others.length > 0 && { 'stop on the other nodes, ms': onOthers }) };
  return { gone, starvedMs, ...(Object.keys(also).length === 0 ? {} : { also }) };
}

/** The order, while the fault lasts. It is healed in any case; where that fails too, both failures are told. */
async function strike(rig: Rig, steps: Steps): Promise<{ order: AcceptedOrder; seen: Record<string, number[]> }> {
  await using fault = new AsyncDisposableStack();
  fault.defer(async () => steps.heal?.());
  await steps.before?.();
  const order = await (steps.order?.() ?? rig.kill('acme'));
  await steps.after?.();
  const isGone = (): boolean => rig.nodes.every((node) => !rig.observer.isPopulated(keyOf(node, 'acme')));
  await until('the killed customer is gone', isGone, { withinMs: goneWithinMs });
  const isCut = (): boolean => rig.nodes.every((node) => !node.hasTraffic('acme'));
  await until('its traffic is cut', isCut, { withinMs: trafficCutWithinMs });
  return { order, seen: (await steps.verify?.(order)) ?? {} };
}

/** Each node was heard again, and has acknowledged the order or is proven to have stopped. */
async function acknowledged(rig: Rig, { number }: AcceptedOrder): Promise<void> {
  await rig.allReady();
  await until(
    `all nodes acknowledge order ${number}`,
    async () => (await rig.timeline(number)).timeline.every(({ evidence }) => evidence !== null),
    { withinMs: 60_000, everyMs: 50 },
  );
}

/** From the moment that it was gone until now, when all nodes have heard of the order: no process of it came back. */
function neverBack(rig: Rig, { acceptedMs }: AcceptedOrder): void {
  for (const node of rig.nodes) {
    const changes = rig.observer.changes(keyOf(node, 'acme'), acceptedMs);
    const firstGone = changes.findIndex(({ populated }) => !populated);
    const wasEmpty = !rig.observer.isPopulated(keyOf(node, 'acme')) && changes.length === 0;
    if (wasEmpty) continue;
    const back = changes.slice(firstGone + 1).find(({ populated, atMs }) => populated && atMs - acceptedMs > 5_000);
    if (back !== undefined)
      throw new Error(
        `acme ran again on node ${node.number}, ${Math.round(back.atMs - acceptedMs)} ms after the order`,
      );
  }
}

function lastSeenMs(changes: readonly Change[], { acceptedMs }: AcceptedOrder): number {
  const emptied = changes.find(({ populated }) => !populated);
  return emptied === undefined ? 0 : emptied.atMs - acceptedMs;
}
