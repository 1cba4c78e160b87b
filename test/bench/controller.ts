// The controller's own start-up and memory, on an empty store and on that of a full rack.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ControllerProcess } from '../qemu/controller-process.ts';
import { controllerAlone } from './controller-alone.ts';
import { figureOf, type BenchOptions, type Figure } from './figure.ts';
import { rackNodes, seedStore } from './seeded-store.ts';

/** The memory is read after this: what starting needed has been collected, or will stay. */
const settleMs = 5_000;
const startUpAimMs = 1_500;

export async function measureController({ runs, print }: BenchOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const count of [0, rackNodes]) {
    await using stack = new AsyncDisposableStack();
    const stateDir = await mkdtemp(join(tmpdir(), 'bench-controller-'));
    stack.defer(() => rm(stateDir, { recursive: true, force: true }));
    if (count > 0) {
      print(`making a store of ${count} nodes`);
      await seedStore(stateDir, count);
    }
    const { controller } = stack.use(await controllerAlone(stateDir));
    // Makes certificate and keys, and Node's compile cache: once in a controller's life.
    await controller.start();
    const startUpMs: number[] = [];
    const residentMb: number[] = [];
    for (let run = 1; run <= runs; run++) {
      await controller.kill9();
      await controller.start();
      startUpMs.push(controller.startedInMs);
      await delay(settleMs);
      residentMb.push((await residentBytes(controller)) / 1e6);
      print(`${count} nodes ${run}/${runs}: ${startUpMs.at(-1)?.toFixed(0)} ms, ${residentMb.at(-1)?.toFixed(0)} MB`);
    }
    figures.push(
      figureOf({
        name: `controller start-up, ${count} nodes`,
        unit: 'ms',
        samples: startUpMs,
        aim: startUpAimMs,
        how: 'after kill -9: process started until its ready line, launcher included',
      }),
      figureOf({
        name: `controller RSS, ${count} nodes`,
        unit: 'MB',
        samples: residentMb,
        how: `process_resident_memory_bytes, ${settleMs / 1000} s after start-up; boot files are not in it, which are in memory only while boards load them`,
      }),
    );
  }
  return figures;
}

async function residentBytes(controller: ControllerProcess): Promise<number> {
  const url = `${controller.url}/metrics`;
  const headers = { authorization: `Bearer ${await controller.token()}` };
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(10_000) });
  const value = /^process_resident_memory_bytes (\d+)$/m.exec(await response.text())?.[1];
  if (value === undefined) throw new Error(`${url} has no process_resident_memory_bytes`);
  return Number(value);
}
