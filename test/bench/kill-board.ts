// From the kill order to the customer's last process gone, on one board in QEMU, with 1 and with 10 containers.
//
// Two clocks: the controller's, from the stored order until the receipt is in, and the node's own, from the permit that
// no longer lists the customer until its control group is empty. Under icount the node's clock is virtual, so that only
// its own figure means anything there.
import { setTimeout as delay } from 'node:timers/promises';
import { KillOrder, KillTimeline } from '../../protocol/api/orders.ts';
import { Check } from 'typebox/value';
import { virtualRack, type VirtualRack } from '../qemu/rack.ts';
import { allRun, deployWeb, importWeb, noneRuns } from './customer-load.ts';
import { figureOf, type BenchOptions, type Figure } from './figure.ts';

const evidenceWithinMs = 30_000;
const aimMs = 1_000;
const counts = [1, 10];

export async function measureBoardKill(options: BenchOptions): Promise<Figure[]> {
  await using rack = await virtualRack({ name: 'bench-kill', uefi: 1, memoryMb: 2048 });
  // Awaited here: the rack is switched off when this function returns.
  return await eachCount(rack, { ...options, figures: boardFigures });
}

/** U-Boot, because UEFI’s network stack gives up under icount. Its boot takes minutes: everything runs on one thread. */
export async function measureIcountKill(options: BenchOptions): Promise<Figure[]> {
  await using rack = await virtualRack({ name: 'bench-kill-icount', uboot: 1, memoryMb: 2048, icount: true });
  // Awaited here: the rack is switched off when this function returns.
  return await eachCount(rack, { ...options, figures: icountFigures });
}

function boardFigures(instances: string, { evidenceMs, stoppedMs }: Kills): Figure[] {
  return [
    figureOf({
      name: `kill, ${instances}: order to receipt`,
      unit: 'ms',
      samples: evidenceMs,
      aim: aimMs,
      how: 'order stored until the node’s receipt came in, by the controller’s clock (evidenceAfterMs)',
    }),
    figureOf({
      name: `kill, ${instances}: on the node`,
      unit: 'ms',
      samples: stoppedMs,
      aim: aimMs,
      how: 'permit in until the control group was empty, by the node’s clock (stoppedAfterMs)',
    }),
  ];
}

function icountFigures(instances: string, { stoppedMs }: Kills): Figure[] {
  return [
    figureOf({
      name: `kill, ${instances}: on the node, icount`,
      unit: 'ms',
      samples: stoppedMs,
      aim: aimMs,
      how: 'the same in virtual time, 500 million instructions a second on one core (stoppedAfterMs)',
    }),
  ];
}

interface Kills {
  evidenceMs: number[];
  stoppedMs: number[];
}

async function eachCount(
  rack: VirtualRack,
  { runs, print, figures }: BenchOptions & { figures: (instances: string, kills: Kills) => Figure[] },
): Promise<Figure[]> {
  print('waiting for the board');
  await rack.allReady({ timeoutMs: 600_000 });
  await importWeb(rack);
  const all: Figure[] = [];
  for (const count of counts) {
    const customer = `bench${count}`;
    const kills: Kills = { evidenceMs: [], stoppedMs: [] };
    await deployWeb(rack, { customer, replicas: count });
    for (let run = 1; run <= runs; run++) {
      const { evidenceAfterMs, stoppedAfterMs, processes } = await killOnce(rack, customer);
      print(
        `${count} instances, ${processes} processes ${run}/${runs}: ${evidenceAfterMs} ms, node ${stoppedAfterMs} ms`,
      );
      if (processes < count) throw new Error(`order stopped ${processes} processes, want those of ${count} instances`);
      kills.evidenceMs.push(evidenceAfterMs);
      kills.stoppedMs.push(stoppedAfterMs);
      await noneRuns(rack, customer);
      await rack.controller.api('POST /v1/lift', { customer });
      await allRun(rack, { customer, count });
    }
    await rack.controller.api(`DELETE /v1/workloads/${customer}/web`);
    all.push(...figures(`${count} instance${count === 1 ? '' : 's'}`, kills));
  }
  return all;
}

async function killOnce(
  rack: VirtualRack,
  customer: string,
): Promise<{ evidenceAfterMs: number; stoppedAfterMs: number; processes: number }> {
  const order = await rack.controller.api('POST /v1/kill', { customer, reason: 'bench' });
  if (!Check(KillOrder, order)) throw new Error(`POST /v1/kill: ${JSON.stringify(order)} is no kill order`);
  const deadline = performance.now() + evidenceWithinMs;
  for (;;) {
    await delay(50);
    const { timeline } = await rack.controller.get(`/v1/kill/${order.number}`, KillTimeline);
    const [node] = timeline;
    if (node?.evidence === 'receipt' && node.evidenceAfterMs !== null && node.stoppedAfterMs !== null)
      return {
        evidenceAfterMs: node.evidenceAfterMs,
        stoppedAfterMs: node.stoppedAfterMs,
        processes: node.processes,
      };
    if (performance.now() > deadline || node?.evidence === 'silence')
      throw new Error(`no receipt for order ${order.number}: ${JSON.stringify(timeline)}`);
  }
}
