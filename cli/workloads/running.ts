// Changes that hold against others who change the same, and waiting until what is wanted runs.
import type { Customer } from '../../protocol/api/customers.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import type { Workload } from '../../protocol/api/workloads.ts';
import { printable } from '../../protocol/printable.ts';
import { ApiError } from '../api/api.ts';
import { workloadPath } from '../arguments/argument.ts';
import { FailedError, type Context } from '../command.ts';
import { durationText } from '../print/figures.ts';
import { liveLine, printJson } from '../print/print.ts';

/** A look and the change that goes with it may be repeated so often: each time somebody else was quicker. */
const attemptLimit = 5;

/** Looks and changes again where somebody changed it in between. */
export async function untilUnchanged<T>(id: string, attempt: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 412) throw error;
      if (tried >= attemptLimit)
        throw new FailedError(
          `cannot change ${id}: others changed it ${tried} times in between; nothing of this change was made, try again`,
          { code: error.code, cause: error },
        );
    }
  }
}

interface Wait {
  stored: Workload;
  waitMs: number;
}

const pollMs = 300;

/** What runs as wanted. */
export interface Running {
  /** As `--json` has it. */
  whole: Workload & { instances: Instance[] };
  tookMs: number;
}

export async function waitUntilRunning(context: Context, { stored, waitMs }: Wait): Promise<Running> {
  const { customer, name } = stored;
  const replicas = stored.stopped ? 0 : stored.replicas;
  const id = `${customer}/${name}`;
  const line = liveLine(context);
  const startedMs = context.monotonic();
  for (;;) {
    const workload = await context.api.ask<Workload>({ path: workloadPath(stored) });
    const { instances } = await context.api.ask<{ instances: Instance[] }>({
      path: '/v1/instances',
      query: { customer },
    });
    const own = instances.filter((instance) => instance.workload === name);
    const now = context.monotonic();
    line.show(progressText({ id, workload, instances: own }));
    const allRun = own.length === replicas && own.every(({ ready }) => ready);
    if (workload.problem === '' && workload.updated === replicas && allRun) {
      line.end();
      return { whole: { ...workload, instances: own }, tookMs: now - startedMs };
    }
    const { customers } = await context.api.ask<{ customers: Customer[] }>({ path: '/v1/customers' });
    const killedBy = customers.find((each) => each.name === customer)?.killedBy ?? null;
    if (killedBy !== null) {
      line.end();
      throw new FailedError(
        `${id} is stored, but kill order ${killedBy} stands: it runs when that is lifted (muster kill show ${killedBy})`,
        { code: 'stopped-by-order' },
      );
    }
    if (now - startedMs >= waitMs) {
      line.end();
      throw new FailedError(
        `${id} does not run as wanted after ${durationText(waitMs)}: ${progressText({ id, workload, instances: own })}`,
        { code: 'not-running' },
      );
    }
    await context.sleep(pollMs);
  }
}

export function printRunning(context: Context, { whole, tookMs }: Running): void {
  if (context.json) return printJson(context, whole);
  const { customer, name, replicas, image, instances, stopped } = whole;
  if (stopped)
    context.output.out(`${customer}/${name} is stopped, and none of it runs: muster start ${customer}/${name}\n`);
  if (stopped) return undefined;
  context.output.out(`${customer}/${name} runs: ${replicas} of ${image} after ${durationText(tookMs)}\n`);
  for (const { nodeName, endpoint } of instances)
    context.output.out(`  ${nodeName}${endpoint === null ? '' : `  ${endpoint}`}\n`);
  return undefined;
}

/** `acme/web: 1/2 ready, fetching on node-2`, and what is in the way. */
function progressText(options: { id: string; workload: Workload; instances: readonly Instance[] }): string {
  const { id, workload, instances } = options;
  const ready = instances.filter((instance) => instance.ready).length;
  const others = instances
    .filter((instance) => !instance.ready)
    .map(
      ({ state, nodeName, reason }) =>
        `${state} on ${nodeName}${['failed', 'exited', 'running'].includes(state) && reason !== '' ? ` (${reason})` : ''}`,
    );
  const more = others.length > 3 ? [...others.slice(0, 3), `${others.length - 3} more`] : others;
  const problem = workload.problem === '' ? [] : [workload.problem];
  return printable([`${id}: ${ready}/${workload.replicas} ready`, ...more, ...problem].join(', '));
}
