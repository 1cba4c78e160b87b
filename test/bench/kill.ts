// A kill order in a full rack and beyond: the real controller, and simulated agents that answer at once, each over a UDP
// socket of its own. Measured are the controller's cost of a quiet rack, and the time from the stored order until the
// node's receipt is in; beside it, in the same run, Serf spreading an event, which is the way there without the way back.
import { setTimeout as delay } from 'node:timers/promises';
import { figureOf, median, quantile, type BenchOptions, type Figure } from './figure.ts';
import { rackNodes } from './seeded-store.ts';
import { serfCluster } from './serf.ts';
import { killAll, simulatedRack, startRacks, usage, type SimulatedRack } from './simulated-rack.ts';

const windowMs = 10_000;
/** What a start costs (compiled code, joins, reports) is no part of a quiet rack. */
const warmUpMs = 60_000;
const lossPercent = 20;
const manyNodes = 1_200;
const fewNodes = 200;
const rackCount = 34;
/** Of each agent, where 34 controllers and 23,256 agents share one machine: as rare as a permit of 3 s bears. */
const rareHeartbeatMs = 2_250;
const settleMs = 2_000;

export async function measureKill({ runs, print }: BenchOptions): Promise<Figure[]> {
  return [
    ...(await fullRack({ runs, print })),
    ...(await besideSerf({ runs, print })),
    ...(await largerRack({ runs, print })),
    ...(await manyRacks({ runs: Math.min(runs, 3), print })),
  ];
}

async function fullRack({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using rack = await simulatedRack({ nodes: rackNodes, print });
  print(`letting the controller run for ${warmUpMs / 1000} s`);
  await delay(warmUpMs);
  const cpu: number[] = [];
  const residentMb: number[] = [];
  for (let run = 1; run <= runs; run++) {
    const before = await usage(rack.controller.pid);
    const startedAt = performance.now();
    await delay(windowMs);
    const after = await usage(rack.controller.pid);
    cpu.push((100 * (after.cpuSeconds - before.cpuSeconds)) / ((performance.now() - startedAt) / 1000));
    residentMb.push(after.residentBytes / 1e6);
    print(`CPU ${run}/${runs}: ${cpu.at(-1)?.toFixed(1)} % of a core, ${residentMb.at(-1)?.toFixed(0)} MB`);
  }
  const clean = await killTimes([rack], { runs, print, what: `${rackNodes} agents` });
  await rack.lose(lossPercent);
  const lossy = await killTimes([rack], { runs, print, what: `${rackNodes} agents, ${lossPercent} % lost` });
  return [
    figureOf({
      name: `controller CPU, ${rackNodes} agents`,
      unit: '%',
      samples: cpu,
      aim: 10,
      how: `of one core over ${windowMs / 1000} s, from ${warmUpMs / 1000} s after the last agent was ready, all its threads, a heartbeat each 750 ms from every agent (${Math.round(rackNodes / 0.75)} a second)`,
    }),
    figureOf({
      name: `controller RSS, ${rackNodes} agents`,
      unit: 'MB',
      samples: residentMb,
      aim: 150,
      how: 'VmRSS at the end of those windows, before the first order; boot files, which nobody loads, are not in it',
    }),
    ...killFigures(`kill, ${rackNodes} agents`, { kills: clean, aims: { p99: 250, last: 1_000 } }),
    ...killFigures(`kill, ${rackNodes} agents, ${lossPercent} % lost`, {
      kills: lossy,
      aims: { last: 2_000 },
      how: `; nft drops ${lossPercent} % of the datagrams that arrive at the controller, and of those that arrive at the agents`,
    }),
  ];
}

/** One after another in each round, so that what else the machine does meets all of them. */
async function besideSerf({ runs, print }: BenchOptions): Promise<Figure[]> {
  print(`starting ${fewNodes} Serf agents, and racks of ${fewNodes} and ${rackNodes}`);
  await using serf = await serfCluster(fewNodes);
  await using few = await simulatedRack({ nodes: fewNodes, print });
  await using full = await simulatedRack({ nodes: rackNodes, print });
  await delay(settleMs);
  const [spreads, fewKills, fullKills]: Quantiles[][] = [[], [], []];
  for (let run = 1; run <= runs; run++) {
    spreads?.push(quantilesOf(await serf.spread(`kill-${run}`)));
    fewKills?.push(...(await killTimes([few], { runs: 1, print: () => {}, what: '' })));
    fullKills?.push(...(await killTimes([full], { runs: 1, print: () => {}, what: '' })));
    const words = [spreads, fewKills, fullKills].map((all) => text(all?.at(-1)));
    print(`pair ${run}/${runs}: Serf ${words[0]}; Muster at ${fewNodes} ${words[1]}; at ${rackNodes} ${words[2]}`);
  }
  if (spreads === undefined || fewKills === undefined || fullKills === undefined) return [];
  return [
    ...killFigures(`Serf event, ${fewNodes} agents`, {
      kills: spreads,
      how: ' – no: from the first agent that had the event until each other had it, serf agent’s defaults, -coalesce=false',
    }),
    ...killFigures(`kill, ${fewNodes} agents, beside Serf`, { kills: fewKills }),
    ...killFigures(`kill, ${rackNodes} agents, beside Serf`, { kills: fullKills }),
    ...ratios(`Serf / Muster, ${fewNodes} agents each`, { spreads, kills: fewKills }),
    ...ratios(`Serf at ${fewNodes} / Muster at ${rackNodes}`, { spreads, kills: fullKills }),
  ];
}

async function largerRack({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using rack = await simulatedRack({ nodes: manyNodes, print });
  const kills = await killTimes([rack], { runs, print, what: `${manyNodes} agents` });
  return killFigures(`kill, ${manyNodes} agents`, { kills });
}

async function manyRacks({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using racks = await startRacks({ count: rackCount, nodes: rackNodes, heartbeatMs: rareHeartbeatMs, print });
  await delay(settleMs);
  const nodes = rackCount * rackNodes;
  const kills = await killTimes(racks.all, { runs, print, what: `${rackCount} controllers, ${nodes} agents` });
  return killFigures(`kill, ${nodes} agents of ${rackCount} controllers`, {
    kills,
    how: `; all ${rackCount} orders given at once, a heartbeat each ${rareHeartbeatMs} ms: controllers and agents share this machine and are bound by its processor`,
  });
}

interface Quantiles {
  p50: number;
  p99: number;
  last: number;
}

function quantilesOf(samples: readonly number[]): Quantiles {
  return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99), last: quantile(samples, 1) };
}

function text(quantiles: Quantiles | undefined): string {
  return Object.entries(quantiles ?? {})
    .map(([name, ms]) => `${name} ${Number(ms).toFixed(0)}`)
    .join(', ');
}

async function killTimes(
  racks: readonly SimulatedRack[],
  { runs, print, what }: BenchOptions & { what: string },
): Promise<Quantiles[]> {
  const kills: Quantiles[] = [];
  for (let run = 1; run <= runs; run++) {
    const quantiles = quantilesOf(await killAll(racks.map(({ controller }) => controller)));
    kills.push(quantiles);
    print(`${what}, kill ${run}/${runs}: ${text(quantiles)} ms`);
    await delay(settleMs);
  }
  return kills;
}

interface KillFigures {
  kills: readonly Quantiles[];
  aims?: Partial<Quantiles>;
  how?: string;
}

function killFigures(name: string, { kills, aims = {}, how = '' }: KillFigures): Figure[] {
  const words = { p50: 'half', p99: '99 %', last: 'all' };
  return (['p50', 'p99', 'last'] as const).map((which) => {
    const aim = aims[which];
    return figureOf({
      name: `${name}: ${which}`,
      unit: 'ms',
      samples: kills.map((each) => each[which]),
      ...(aim === undefined ? {} : { aim }),
      how: `order stored until ${words[which]} of the receipts were in (evidenceAfterMs)${how}`,
    });
  });
}

/** Of each pair; over 1 where Muster was faster. */
function ratios(
  name: string,
  { spreads, kills }: { spreads: readonly Quantiles[]; kills: readonly Quantiles[] },
): Figure[] {
  return (['p50', 'p99', 'last'] as const).map((which) => {
    const samples = spreads.map((spread, index) => spread[which] / (kills[index]?.[which] ?? NaN));
    return figureOf({
      name: `${name}: ${which}`,
      unit: '×',
      samples,
      moreIsBetter: true,
      how: `of each pair, the median is ${median(samples).toFixed(2)}; over 1: Muster was faster, though its time has the way back in it`,
    });
  });
}
