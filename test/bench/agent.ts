// Memory of the agent's process on a board, as it reports it itself, idle and with ten containers.
import { setTimeout as delay } from 'node:timers/promises';
import type { Sample } from '../../protocol/api.ts';
import { virtualRack, type RackNode } from '../qemu/rack.ts';
import { deployWeb, importWeb } from './customer-load.ts';
import { figureOf, type BenchOptions, type Figure } from './figure.ts';

/** What Node.js needs at its start is given back by then. */
const settleSeconds = 30;
const aimMb = 64;
const sampleWithinMs = 30_000;

export async function measureAgent({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using rack = await virtualRack({ name: 'bench-agent', uefi: 1, memoryMb: 2048 });
  const board = rack.node(1);
  print('waiting for the board');
  await board.ready({ timeoutMs: 300_000 });
  const figure = async (name: string) => {
    print(`${name}: waiting ${settleSeconds} s`);
    const { uptimeSeconds } = await nextSample(board, 0);
    const samples: number[] = [];
    let from = uptimeSeconds + settleSeconds;
    while (samples.length < runs) {
      const sample = await nextSample(board, from);
      samples.push(sample.agentRssBytes / 1e6);
      from = sample.uptimeSeconds + 1;
    }
    const how = `resident memory in the agent’s own samples, from ${settleSeconds} s on, a sample each 2 s`;
    return figureOf({ name, unit: 'MB', samples, aim: aimMb, how });
  };
  const idle = await figure('agent RSS, idle');
  await importWeb(rack);
  await deployWeb(rack, 'bench', 10);
  return [idle, await figure('agent RSS, 10 containers')];
}

/** The first sample that the board took after being up that long. */
async function nextSample(board: RackNode, fromUptimeSeconds: number): Promise<Sample> {
  const deadline = performance.now() + sampleWithinMs + settleSeconds * 1000;
  while (performance.now() < deadline) {
    const sample = (await board.seen())?.sample;
    if (sample != null && sample.uptimeSeconds >= fromUptimeSeconds) return sample;
    await delay(250);
  }
  throw new Error(`no sample of ${board.mac} from ${fromUptimeSeconds} s of its uptime on`);
}
