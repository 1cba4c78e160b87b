// One run of one fault on the boards: deploy, wait until all run, do the fault, kill, measure, heal, wait until all run again.
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkloadSpec } from '../../protocol/api/workloads.ts';
import { bystander, killed, untilOnBoards, type BoardRack, type DrillBoard } from './board-rack.ts';
import type { Run } from './fault.ts';
import type { Ticks } from './ticks.ts';

/** What is done to one board, and what may come of it. */
export interface Misdeed {
  /** A second workload of the customer that is killed: the kind that misbehaves. */
  extra?: Partial<WorkloadSpec>;
  /** Well before the order; waits until the fault is really there. */
  prepare?(board: DrillBoard, rack: BoardRack): Promise<void>;
  /** The last thing before the order. */
  before?(board: DrillBoard, rack: BoardRack): Promise<void>;
  /** The first thing after its answer. The moment from which the promise counts, where it is not the answer. */
  after?(board: DrillBoard, rack: BoardRack): Promise<number | void>;
  heal?(board: DrillBoard, rack: BoardRack): Promise<void>;
  /** Whether the customer that nobody kills must run on as if nothing was. */
  sparesBystander: boolean;
  /** The watchdog resets the board, or somebody does. */
  resets?: 'yes' | 'before the order';
  /** A process may stay in its group, without an instruction of its own, until the board is reset. */
  leavesHanging?: boolean;
}

interface Pair {
  board: DrillBoard;
  misdeed: Misdeed;
}

/** From just before the fault until the customer was gone: how long the host had no processor for the board. */
export const waitedFigure = 'board waited for the host, ms';

const goneLimitMs = 30_000;
const startLimitMs = 120_000;
const startLimitEachMs = 20_000;
const settleMs = 1_000;
/** A controller that is back by then has stopped nobody. */
const bridgedMs = 2_000;
/** A permit and all that follows from its end. */
const silenceMs = 4_000;
const extra = 'extra';
const extraWorkload = { customer: killed, name: extra };

/** `misdeeds`: one for each board, in order. Throws where the fault did not take effect or something ran that must not. */
export async function runOnce(rack: BoardRack, misdeeds: readonly Misdeed[]): Promise<Run> {
  const pairs = rack.boards.map((board, i) => ({ board, misdeed: misdeeds[i] ?? { sparesBystander: true } }));
  await rack.allRun();
  const beganMs = performance.now();
  const wasReset = ({ board, misdeed }: Pair): boolean =>
    misdeed.resets !== undefined || board.resetMs(beganMs) !== undefined;
  try {
    const run = await measured(rack, pairs);
    await Promise.all(pairs.map(async ({ board, misdeed }) => misdeed.heal?.(board, rack)));
    const reset = pairs.filter(wasReset).map(({ board }) => board);
    if (reset.length > 0) await neverStarts(rack, reset);
    await Promise.all(rack.boards.map(sharesAsBefore));
    return run;
  } finally {
    // The next fault finds a rack without this one's traces, also where this one went wrong.
    await rack.remove(killed, extra);
    await rack.lift();
    if (pairs.some(wasReset)) await rack.spread(killed);
    await rack.allRun();
  }
}

async function measured(rack: BoardRack, pairs: readonly Pair[]): Promise<Run> {
  const each = <T>(act: (pair: Pair, i: number) => Promise<T>) => Promise.all(pairs.map(act));
  for (const { board } of pairs) board.late.length = 0;
  rack.away.ms = 0;
  const spec = pairs.find(({ misdeed }) => misdeed.extra !== undefined)?.misdeed.extra;
  if (spec !== undefined) await deployExtra(rack, spec);
  await each(async ({ board, misdeed }) => misdeed.prepare?.(board, rack));
  rack.ticks.forget();
  const beganMs = performance.now();
  const waitedBeforeMs = await each(({ board }) => board.waitedMs());
  await each(async ({ board, misdeed }) => misdeed.before?.(board, rack));

  const acceptedMs = await rack.kill();
  const fromMs = await each(async ({ board, misdeed }) => (await misdeed.after?.(board, rack)) ?? acceptedMs);
  await each((pair) => untilGone(pair, acceptedMs));
  const tookMs = performance.now() - beganMs;
  const waitedMs = await each(async ({ board }, i) => (await board.waitedMs()) - (waitedBeforeMs[i] ?? 0));
  await delay(settleMs);
  const seen = pairs.map((pair, i) => measure(pair, { ticks: rack.ticks, fromMs: fromMs[i] ?? acceptedMs }));
  for (const [i, { board, misdeed }] of pairs.entries())
    // A board with less than half a processor may miss its permits for want of time alone.
    // So may all whose controller needs longer for its start than permits last.
    if (misdeed.sparesBystander && (waitedMs[i] ?? 0) < tookMs / 2 && rack.away.ms < bridgedMs)
      checkBystander(board, { ticks: rack.ticks, acceptedMs });
  const also = mergeOf(seen.map(({ figures }) => figures));
  also[waitedFigure] = waitedMs.map((ms) => Math.round(ms));
  if (pairs.every(({ misdeed }) => misdeed.sparesBystander))
    also['longest pause of the other customer, ms'] = pairs.map(({ board }) =>
      Math.max(0, ...rack.ticks.of(board.ip, bystander).map(pauseOf)),
    );
  return { gone: seen.map(({ goneMs }) => goneMs), also };
}

/** On each board as many. A board that has just come back may have been passed over: then all are placed anew. */
async function deployExtra(rack: BoardRack, spec: Partial<WorkloadSpec>): Promise<void> {
  const wanted = spec.replicas ?? rack.boards.length;
  let states = '';
  let instances: Awaited<ReturnType<BoardRack['instances']>> = [];
  const run = async (): Promise<boolean> => {
    instances = await rack.instances(killed, extra);
    states = instances.map(({ nodeName, state, reason }) => `${state} on ${nodeName} ${reason}`).join(', ');
    return instances.length === wanted && instances.every(({ state }) => state === 'running');
  };
  for (let attempts = 1; attempts <= 3; attempts++) {
    await rack.put(extraWorkload, spec);
    await untilOnBoards(`${wanted} more containers of ${killed} to run`, run, {
      withinMs: startLimitMs + wanted * startLimitEachMs,
      detail: () => states,
    });
    const places = Map.groupBy(instances, ({ node }) => node);
    if (places.size === rack.boards.length) return;
    await rack.remove(killed, extra);
  }
  throw new Error(`${extra} is not on each board: ${states}`);
}

async function untilGone({ board, misdeed }: Pair, acceptedMs: number): Promise<void> {
  if (misdeed.resets === 'before the order') return;
  const what = `${killed} to be gone from ${board.ip}`;
  const isReset = (): boolean => board.resetMs(acceptedMs) !== undefined;
  if (misdeed.resets === 'yes') await untilOnBoards(`the reset of ${board.ip}`, isReset, { withinMs: goneLimitMs });
  else await untilOnBoards(what, () => !board.group(killed).populated || isReset(), { withinMs: goneLimitMs });
}

function measure(
  { board, misdeed }: Pair,
  { ticks, fromMs }: { ticks: Ticks; fromMs: number },
): { goneMs: number; figures: Record<string, number> } {
  const round = (ms: number): number => Math.max(0, Math.round(ms - fromMs));
  const tickMs = round(ticks.lastMs(board.ip, killed));
  if (misdeed.resets === 'before the order') return { goneMs: tickMs, figures: {} };
  const resetMs = board.resetMs(fromMs);
  const { populated, changedMs } = board.group(killed);
  if (populated && resetMs === undefined) throw new Error(`${killed} runs again on ${board.ip} while the order stands`);
  // A group that was never seen empty ended with the reset.
  const emptyMs = round(populated && resetMs !== undefined ? resetMs : changedMs);
  const goneMs = misdeed.leavesHanging === true ? tickMs : Math.max(tickMs, emptyMs);
  return {
    goneMs,
    figures: {
      'last sign of life, ms': tickMs,
      'longest look away of the watcher, ms': Math.max(0, ...board.late.map(({ ms }) => ms)),
      ...(resetMs !== undefined && { 'board reset, ms': round(resetMs) }),
    },
  };
}

/** While the killed customer's processes died, the leash gave the customers more of the processor than the system has. */
const sharesAsBefore = (board: DrillBoard): Promise<void> =>
  untilOnBoards(
    `the customers’ share of ${board.ip} to be as before`,
    async () => (await board.run('cat /sys/fs/cgroup/customers/cpu.weight')).trim() === '100',
    { withinMs: goneLimitMs },
  );

/** It said without a break that it runs, and its first processes are still the same. */
function checkBystander(board: DrillBoard, { ticks, acceptedMs }: { ticks: Ticks; acceptedMs: number }): void {
  const sources = ticks.of(board.ip, bystander);
  const runs = sources.some(({ heardMs, starts }) => heardMs > acceptedMs && starts === 0);
  if (!runs || sources.some(({ starts }) => starts > 0) || !board.group(bystander).populated)
    throw new Error(`${bystander}, which nobody killed, stopped on ${board.ip}: ${JSON.stringify(sources)}`);
}

const pauseOf = ({ longestPauseMs }: { longestPauseMs: number }): number => Math.round(longestPauseMs);

/**
 * Boards that start again, and agents that do, while the order stands: they never start its customer. The other customer, put
 * on each of them meanwhile, shows that they start what they may.
 */
async function neverStarts(rack: BoardRack, boards: readonly DrillBoard[]): Promise<void> {
  for (const { ip } of boards) rack.ticks.forgetClock(ip);
  rack.ticks.forget();
  await Promise.all(boards.map((board) => board.watch()));
  await rack.spread(bystander);
  await rack.allRun([bystander]);
  for (const board of boards) await board.run('kill -9 $(pidof node)');
  await delay(silenceMs);
  await untilOnBoards('the agents to be back', async () =>
    (await rack.rack.controller.nodes()).every(({ state }) => state === 'ready'),
  );
  await rack.spread(bystander);
  await rack.allRun([bystander]);
  for (const { ip, group } of boards.map((board) => ({ ip: board.ip, group: board.group(killed) })))
    if (group.populated || rack.ticks.of(ip, killed).length > 0)
      throw new Error(`${killed} was started on ${ip} while the order stood`);
}

function mergeOf(all: readonly Record<string, number>[]): Record<string, number[]> {
  const merged: Record<string, number[]> = {};
  for (const figures of all)
    for (const [name, value] of Object.entries(figures)) merged[name] = [...(merged[name] ?? []), value];
  return merged;
}
