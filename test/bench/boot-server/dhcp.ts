// DHCP of a rack that powers on, and of one whose boards ask far more often than anybody can answer.
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { startBoards } from '../../qemu/dhcp-boards.ts';
import { controllerAlone } from '../controller-alone.ts';
import { figureOf, type BenchOptions, type Figure } from '../figure.ts';
import { rackNodes, seedStore } from '../seeded-store.ts';

const loads = [
  { name: 'a DISCOVER of each board a second', perSecond: rackNodes },
  { name: '20,000 DISCOVERs a second', perSecond: 20_000 },
];
const seconds = 10;
/** What stopped in this moment is held for 4.5 s, and its firmware is not answered (docs/BOOTING.md). */
const placesHeldMs = 6_000;
/** The network of `controllerAlone` has too few addresses for a rack. */
const flags = ['--address', '10.77.0.1/20', '--range', '10.77.1.0-10.77.14.255'];

export async function measureDhcp({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const stateDir = await mkdtemp(join(tmpdir(), 'bench-dhcp-'));
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  print(`making a store of ${rackNodes} nodes`);
  await seedStore(stateDir, rackNodes);
  const { network, controller } = stack.use(await controllerAlone(stateDir, { flags }));
  await controller.start();
  await delay(placesHeldMs);
  const figures: Figure[] = [];
  for (const { name, perSecond } of loads) {
    const [rates, costs]: [number[], number[]] = [[], []];
    for (let run = 1; run <= runs; run++) {
      const before = processorMs(controller.pid);
      const boards = await startBoards(network, {
        program: new URL('dhcp-load.ts', import.meta.url),
        args: [rackNodes, perSecond, seconds].map(String),
      });
      if (boards.stdout === null) throw new Error('the boards were started without an output');
      const ended = once(boards, 'exit');
      const { exchanges, sent } = JSON.parse(await text(boards.stdout));
      await ended;
      const usedMs = processorMs(controller.pid) - before;
      rates.push(exchanges / seconds);
      costs.push(usedMs / exchanges);
      print(
        `${name} ${run}/${runs}: ${sent} sent, ${(exchanges / seconds).toFixed(0)} exchanges/s, ` +
          `${(usedMs / exchanges).toFixed(2)} ms of processor each`,
      );
    }
    figures.push(
      figureOf({
        name: `DHCP exchanges a second, ${name}`,
        unit: '/s',
        samples: rates,
        moreIsBetter: true,
        how: `${rackNodes} boards that had joined, in turn; DISCOVER to ACK, for ${seconds} s; the boards run on the same machine`,
      }),
      figureOf({
        name: `processor of an exchange, ${name}`,
        unit: 'ms',
        samples: costs,
        how: 'of the controller and all its processes, divided by the exchanges that were completed',
      }),
    );
  }
  return figures;
}

/** Of a process and those that it started. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  const own = (Number(fields[11]) + Number(fields[12])) * 10;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((child) => child !== '');
  return children.reduce((sum, child) => sum + processorMs(Number(child)), own);
}
