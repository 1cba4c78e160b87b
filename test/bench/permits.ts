// How long a permit takes in a full rack: idle, while the controller's main thread stands still, and while many boards ask
// for addresses. The same agents in one run, so that what else the machine does meets all of it.
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
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
  return [...measured].flatMap(([name, all]) =>
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
