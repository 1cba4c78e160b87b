// Carries drills out: a canary on many nodes, killed by the very code that an operator's order takes, and measured by
// the receipts. Where a drill stands is in the inventory and nowhere else, so a controller that was restarted goes on
// with it, and whatever happens it ends in `removing`, which is repeated until nothing of the canary is left.
//
//   deploying → killing → removing → done
//        └──────────────────┘ (cannot be measured)
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { DrillRequest } from '../../protocol/api/drills.ts';
import type { WorkloadSpec } from '../../protocol/api/workloads.ts';
import type { DrillDocument } from '../../inventory/store/documents.ts';
import { drillOrder, presentResult, type DrillResult } from '../api/drill-views.ts';
import { canaryName, orderedBy } from '../../inventory/drills/drills.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { deployment, drawNodes, verdict, type CanaryNode } from './verdict.ts';
import { orRefuse, RefusedError } from '../api/http.ts';
import type { ImageStore } from '../image-store.ts';
import { giveKillOrder, liftKillOrder } from '../kill/kill-order.ts';
import type { RollCall } from '../kill/roll-call.ts';

/** Muster's own sample goes by this name once a drill has imported it. */
export const canaryImage = 'muster/canary';
/** What the sample needs, and little enough for a board that is nearly full. */
const canaryLimits = { memoryBytes: 32 * 2 ** 20, cpu: 0.5, processes: 16 };
/** After a start of the controller, boards that lost power with it get this long before a drill that is due counts them. */
const settleMs = 120_000;
/** A disk that is full now is not asked again ten times a second. */
const retryAfterMs = 5_000;

export interface DrillRunner extends AsyncDisposable {
  /** Resolves when the drill is on disk. Throws RefusedError. */
  start(request: DrillRequest, by: string): Promise<DrillDocument>;
  /** Looks whether there is something to do, and does it: call it every 100 ms. Calls do not overlap. */
  step(): Promise<void>;
}

export interface DrillOptions {
  inventory: Inventory;
  rollCall: RollCall;
  images: ImageStore;
  /** An OCI archive: what the canary runs where no image is named. */
  samplePath: string;
  random: (bytes: number) => Buffer;
  /** Monotonic ms. */
  now: () => number;
  /** Milliseconds since 1970. */
  wallClock: () => number;
}

export function startDrills(options: DrillOptions): DrillRunner {
  const { inventory, rollCall, images, samplePath, random, now, wallClock } = options;
  const { drills } = inventory;
  const startedAt = now();
  let running: Promise<void> | undefined;
  let stopped = false;
  let retryAt = -Infinity;
  let importing: Promise<unknown> | undefined;
  /** Since when the drill is in its phase, as far as this process knows. */
  let waiting = { key: '', since: startedAt };

  async function planned({ customer = canaryName, share = 1, image }: DrillRequest) {
    const refusal = drills.refusal(customer);
    if (refusal !== undefined) throw new RefusedError(409, refusal);
    const spec: WorkloadSpec =
      image === undefined ? { image: await ownImage(), replicas: 1, ...canaryLimits } : { image, replicas: 1 };
    const ready = inventory.nodes.all().filter(({ state, fenced }) => state === 'ready' && !fenced);
    return {
      customer,
      spec,
      nodes: drawNodes(
        ready.map(({ mac }) => mac),
        share,
        random,
      ),
    };
  }

  async function ownImage(): Promise<string> {
    if (inventory.images.get(canaryImage) !== undefined) return canaryImage;
    if ((await stat(samplePath).catch(() => undefined)) === undefined)
      throw new RefusedError(
        409,
        `there is nothing for a canary to run: want an image by name, or Muster's own sample at ${samplePath}, which npm start builds`,
      );
    // Whoever asks meanwhile waits for the same one.
    importing ??= images
      .receive(canaryImage, createReadStream(samplePath), 'drill')
      .finally(() => (importing = undefined));
    await importing;
    return canaryImage;
  }

  async function pass(): Promise<void> {
    await startScheduled();
    const drill = drills.current();
    if (drill === undefined) return;
    const key = `${drill.number} ${drill.phase}`;
    if (waiting.key !== key) waiting = { key, since: now() };
    if (drill.phase === 'deploying') await deploy(drill);
    else if (drill.phase === 'killing') await kill(drill);
    else await remove(drill);
  }

  async function startScheduled(): Promise<void> {
    const schedule = drills.schedule();
    if (schedule === undefined || wallClock() < schedule.nextAt || now() - startedAt < settleMs) return;
    try {
      await drills.beginScheduled(await planned(schedule.request));
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      await drills.skip(error.message);
    }
  }

  async function deploy(drill: DrillDocument): Promise<void> {
    const { number, customer } = drill;
    if (inventory.workloads.get(customer, canaryName)?.nodes === undefined)
      return fail(drill, 'the canary was removed before it could be killed');
    const order = inventory.orders.killedBy(customer);
    if (order !== undefined) return fail(drill, `order ${order} stopped the canary before the drill could`);
    const problem = inventory.workloads.problemOf(customer, canaryName);
    const step = deployment(canaryNodes(drill), { problem, elapsedMs: now() - waiting.since });
    if (step === 'wait') return undefined;
    const { ran, leftOut } = step;
    if (ran.length === 0) return fail(drill, `no node ran the canary: ${leftOut[0] ?? ''}`, leftOut);
    const without = leftOut.length === 0 ? '' : `, without ${leftOut.join('; ')}`;
    const message = `the canary runs on ${ran.length} of ${drill.drawn} nodes${without}`;
    return drills.advance(number, { phase: 'killing', nodes: ran, leftOut, message });
  }

  function canaryNodes({ customer, nodes }: DrillDocument): CanaryNode[] {
    const instances = new Map(inventory.instances.of(customer, canaryName).map((each) => [each.node, each]));
    return nodes.map((mac) => {
      const node = inventory.nodes.get(mac);
      return {
        mac,
        name: node?.name ?? mac,
        state: node?.state,
        fenced: node?.fenced ?? false,
        instance: instances.get(mac),
      };
    });
  }

  async function kill(drill: DrillDocument): Promise<void> {
    const { number, customer: scope } = drill;
    if (drill.order === null) {
      const reason = `drill ${number}`;
      // A crash may have come between the order and the note of it here.
      const given =
        drillOrder(inventory, drill) ??
        (await giveKillOrder({ inventory, rollCall }, { scope, reason, by: orderedBy(number) }));
      if ('refused' in given) return fail(drill, given.refused);
      waiting.since = now();
      return drills.advance(number, { order: given.number });
    }
    const result = presentResult(inventory, drill);
    const found = verdict(result, {
      order: inventory.orders.get(drill.order),
      elapsedMs: now() - waiting.since,
      restarted: drill.epoch !== inventory.epoch,
    });
    return found === 'wait' ? undefined : drills.advance(number, { phase: 'removing', result, ...found });
  }

  function fail(drill: DrillDocument, problem: string, leftOut = drill.leftOut): Promise<void> {
    const result: DrillResult = { nodes: 0, stopped: 0, medianMs: null, slowestMs: null, unacknowledged: [] };
    return drills.advance(drill.number, { phase: 'removing', outcome: 'failed', problem, leftOut, result });
  }

  /** Each step alone may have been done before a crash. The workload first: a lifted order lets its containers run. */
  async function remove(drill: DrillDocument): Promise<void> {
    const { number, customer: name } = drill;
    const left: string[] = [];
    if (inventory.workloads.get(name, canaryName)?.nodes !== undefined)
      await inventory.workloads.remove({ customer: name, name: canaryName });
    const order = drillOrder(inventory, drill);
    if (order?.liftedAt === null) {
      const lifted = await liftKillOrder(
        { inventory, rollCall },
        { scope: order.scope, reason: `drill ${number} is over`, by: orderedBy(number) },
      );
      if ('refused' in lifted) left.push(lifted.refused);
    }
    if (drill.uidBase !== null && inventory.customers.get(name)?.uidBase === drill.uidBase) {
      const removed = await inventory.customers.remove(name);
      if ('refused' in removed) left.push(`${name} stays: ${removed.refused}`);
    }
    const problem = [drill.problem, ...left].filter((text) => text !== '').join('; ');
    await drills.advance(number, { phase: 'done', problem, message: summary({ ...drill, problem }) });
  }

  return {
    start: async (request, by) => {
      if (stopped) throw new RefusedError(503, 'the controller is stopping');
      return orRefuse(await drills.begin(await planned(request), by));
    },
    step: () => {
      if (stopped || now() < retryAt) return Promise.resolve();
      running ??= pass()
        .catch((error: unknown) => {
          retryAt = now() + retryAfterMs;
          throw error;
        })
        .finally(() => (running = undefined));
      return running;
    },
    async [Symbol.asyncDispose]() {
      stopped = true;
      await running?.catch(() => undefined);
      await importing?.catch(() => undefined);
    },
  };
}

/** `passed: 684/684 stopped, median 130 ms, slowest 143 ms` */
function summary({ outcome, problem, result }: DrillDocument): string {
  const figures =
    result === null || result.nodes === 0
      ? []
      : [`${result.stopped}/${result.nodes} stopped, median ${ms(result.medianMs)}, slowest ${ms(result.slowestMs)}`];
  return `${outcome}: ${[...figures, ...(problem === '' ? [] : [problem])].join('; ')}`;
}

function ms(figure: number | null | undefined): string {
  return figure === null || figure === undefined ? '-' : `${Math.round(figure)} ms`;
}
