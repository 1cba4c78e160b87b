// How long a permit takes in a full rack: idle, while the controller's main thread stands still, and while many boards ask
// for addresses; and how old permits become when the controller is killed and started again. The same agents in one run, so
// that what else the machine does meets all of it.
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { permitValidityMs } from '../../protocol/timing.ts';
import { startLeaseTaker } from '../failures/lease-taker-process.ts';
import { figureOf, quantile, type BenchOptions, type Figure } from './figure.ts';
import { rackNodes } from './seeded-store.ts';
import { simulatedRack, type SimulatedRack } from './simulated-rack.ts';

/** Blocks the main thread for nine seconds at SIGUSR2. */
const preload = fileURLToPath(new URL('../faults/host/preload.mjs', import.meta.url));
const seconds = 10;
const settleMs = 5_000;

export async function measurePermits({ runs, print }: BenchOptions): Promise<Figure[]> {
  const environment = new Map([['NODE_OPTIONS', `--import ${preload}`]]);
  await using rack = await simulatedRack({ nodes: rackNodes, environment, print });
  await delay(settleMs);
  const measured = new Map<string, number[][]>();
  for (let run = 1; run <= runs; run++)
    for (const [name, load] of loads) {
      const answersMs = await load(rack);
      measured.set(name, [...(measured.get(name) ?? []), answersMs]);
      const [p99, worst] = [0.99, 1].map((share) => quantile(answersMs, share).toFixed(0));
      print(`${name} ${run}/${runs}: ${answersMs.length} permits, 99 % within ${p99} ms, all within ${worst} ms`);
      await delay(settleMs);
    }
  const oldestMs: number[] = [];
  for (let run = 1; run <= runs; run++) {
    const oldest = await oldestAfterKill9(rack);
    oldestMs.push(oldest);
    print(
      `kill -9 ${run}/${runs}: the oldest permit was ${oldest.toFixed(0)} ms old, ready after ${rack.controller.startedInMs.toFixed(0)} ms`,
    );
    await delay(settleMs);
  }
  const restarted = figureOf({
    name: `oldest permit, ${rackNodes} agents, controller killed by -9 and started again at once`,
    unit: 'ms',
    samples: oldestMs,
    aim: permitValidityMs,
    how: 'of any agent; in between agents ask each 250 ms',
  });
  const answered = [...measured].flatMap(([name, all]) =>
    (
      [
        ['99 %', 0.99],
        ['worst', 1],
      ] as const
    ).map(([which, share]) =>
      figureOf({
        name: `permit, ${rackNodes} agents, ${name}: ${which}`,
        unit: 'ms',
        samples: all.map((each) => quantile(each, share)),
        how: `from the heartbeat to the permit that answers it, over ${seconds} s`,
      }),
    ),
  );
  return [...answered, restarted];
}

const loads: [name: string, load: (rack: SimulatedRack) => Promise<number[]>][] = [
  ['idle', answers],
  [
    'main thread held up',
    async (rack) => {
      if (rack.controller.pid !== undefined) process.kill(rack.controller.pid, 'SIGUSR2');
      return answers(rack);
    },
  ],
  [
    'leases',
    async (rack) => {
      await using _taker = await startLeaseTaker(rack.network, { firstBoard: 0, leases: new Map() });
      return answers(rack);
    },
  ],
];

async function answers({ agents }: SimulatedRack): Promise<number[]> {
  await agents.nextCount();
  const all: number[] = [];
  for (let second = 0; second < seconds; second++) all.push(...(await agents.nextCount()).answersMs);
  return all;
}

async function oldestAfterKill9({ agents, controller }: SimulatedRack): Promise<number> {
  await agents.nextCount();
  await controller.kill9();
  const started = controller.start();
  let oldest = 0;
  for (let second = 0; second < seconds; second++) oldest = Math.max(oldest, (await agents.nextCount()).oldestMs);
  await started;
  return oldest;
}
