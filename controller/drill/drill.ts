// Carries drills out: a canary on many nodes, killed by the very code that an operator's order takes, and measured by
// the receipts. Where a drill stands is in the inventory and nowhere else, so a controller that was restarted goes on
// with it, and whatever happens it ends in `removing`, which is repeated until nothing of the canary is left.
//
//   deploying → killing → removing → done
//        └──────────────────┘ (cannot be measured)
import type { DrillRequest } from '../../protocol/api/drills.ts';
import type { DrillDocument } from '../../inventory/store/documents.ts';
import { drillOrder, presentResult, type DrillResult } from '../api/drill-views.ts';
import { canaryName, orderedBy } from '../../inventory/drills/drills.ts';
import { orRefuse, RefusedError } from '../api/serving/http.ts';
import { giveKillOrder, liftKillOrder } from '../kill/kill-order.ts';
import type { RollCall } from '../kill/roll-call/roll-call.ts';
import { Canary, type CanaryOptions } from './canary.ts';
import { deployment, verdict } from './verdict.ts';

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

export interface DrillOptions extends CanaryOptions {
  rollCall: RollCall;
  /** Monotonic ms. */
  now: () => number;
  /** Milliseconds since 1970. */
  wallClock: () => number;
}

export function startDrills(options: DrillOptions): DrillRunner {
  const { now } = options;
  const course = new Course(options);
  let running: Promise<void> | undefined;
  let stopped = false;
  let retryAt = -Infinity;
  return {
    start: (request, by) =>
      stopped ? Promise.reject(new RefusedError(503, 'the controller is stopping')) : course.begin(request, by),
    step: () => {
      if (stopped || now() < retryAt) return Promise.resolve();
      running ??= course
        .pass()
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
      await course.idle();
    },
  };
}

/** A drill's way through its phases, a step at a time. */
class Course {
  readonly #options: DrillOptions;
  readonly #canary: Canary;
  readonly #startedAt: number;
  /** Since when the drill is in its phase, as far as this process knows. */
  #waiting: { key: string; since: number };

  constructor(options: DrillOptions) {
    this.#options = options;
    this.#canary = new Canary(options);
    this.#startedAt = options.now();
    this.#waiting = { key: '', since: this.#startedAt };
  }

  async begin(request: DrillRequest, by: string): Promise<DrillDocument> {
    return orRefuse(await this.#options.inventory.drills.begin(await this.#canary.planned(request), by));
  }

  idle(): Promise<void> {
    return this.#canary.idle();
  }

  async pass(): Promise<void> {
    await this.#beginScheduled();
    const { inventory, now } = this.#options;
    const drill = inventory.drills.current();
    if (drill === undefined) return;
    const key = `${drill.number} ${drill.phase}`;
    if (this.#waiting.key !== key) this.#waiting = { key, since: now() };
    if (drill.phase === 'deploying') await this.#deploy(drill);
    else if (drill.phase === 'killing') await this.#kill(drill);
    else await this.#remove(drill);
  }

  async #beginScheduled(): Promise<void> {
    const { inventory, now, wallClock } = this.#options;
    const schedule = inventory.drills.schedule();
    if (schedule === undefined || wallClock() < schedule.nextAt || now() - this.#startedAt < settleMs) return;
    try {
      await inventory.drills.beginScheduled(await this.#canary.planned(schedule.request));
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      await inventory.drills.skip(error.message);
    }
  }

  async #deploy(drill: DrillDocument): Promise<void> {
    const { inventory, now } = this.#options;
    const { number, customer } = drill;
    const failed = (problem: string) => this.#fail(drill, { problem });
    if (inventory.workloads.get(customer, canaryName)?.nodes === undefined)
      return failed('the canary was removed before it could be killed');
    const order = inventory.orders.killedBy(customer);
    if (order !== undefined) return failed(`order ${order} stopped the canary before the drill could`);
    const problem = inventory.workloads.problemOf(customer, canaryName);
    const step = deployment(this.#canary.on(drill), { problem, elapsedMs: now() - this.#waiting.since });
    if (step === 'wait') return undefined;
    const { ran, leftOut } = step;
    if (ran.length === 0) return this.#fail(drill, { problem: `no node ran the canary: ${leftOut[0] ?? ''}`, leftOut });
    const without = leftOut.length === 0 ? '' : `, without ${leftOut.join('; ')}`;
    const message = `the canary runs on ${ran.length} of ${drill.drawn} nodes${without}`;
    return inventory.drills.advance(number, { phase: 'killing', nodes: ran, leftOut, message });
  }

  async #kill(drill: DrillDocument): Promise<void> {
    const { inventory, rollCall, now } = this.#options;
    const { number, customer: scope } = drill;
    if (drill.order === null) {
      const reason = `drill ${number}`;
      // A crash may have come between the order and the note of it here.
      const given =
        drillOrder(inventory, drill) ??
        (await giveKillOrder({ inventory, rollCall }, { scope, reason, by: orderedBy(number) }));
      if ('refused' in given) return this.#fail(drill, { problem: given.refused });
      this.#waiting.since = now();
      return inventory.drills.advance(number, { order: given.number });
    }
    const result = presentResult(inventory, drill);
    const found = verdict(result, {
      order: inventory.orders.get(drill.order),
      elapsedMs: now() - this.#waiting.since,
      restarted: drill.epoch !== inventory.epoch,
    });
    return found === 'wait' ? undefined : inventory.drills.advance(number, { phase: 'removing', result, ...found });
  }

  #fail(
    drill: DrillDocument,
    { problem, leftOut = drill.leftOut }: { problem: string; leftOut?: string[] },
  ): Promise<void> {
    const result: DrillResult = { nodes: 0, stopped: 0, medianMs: null, slowestMs: null, unacknowledged: [] };
    const failed = { phase: 'removing', outcome: 'failed', problem, leftOut, result } as const;
    return this.#options.inventory.drills.advance(drill.number, failed);
  }

  /** Each step alone may have been done before a crash. The workload first: a lifted order lets its containers run. */
  async #remove(drill: DrillDocument): Promise<void> {
    const { inventory, rollCall } = this.#options;
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
    await inventory.drills.advance(number, { phase: 'done', problem, message: summary({ ...drill, problem }) });
  }
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
