// Power-on until the controller says that the board is ready, one board at a time, for each firmware path.
import { virtualRack, type RackNode } from '../qemu/rack.ts';
import { figureOf, type BenchOptions, type Figure } from './figure.ts';

const readyWithinMs = 300_000;

export async function measureBoot(options: BenchOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  {
    await using rack = await virtualRack({
      name: 'bench-boot',
      uboot: 1,
      uefi: 1,
      uefiHttp: 1,
      off: true,
      ...oneBoard,
    });
    figures.push(await path(rack.node(1), { ...options, name: 'U-Boot → iPXE' }));
    figures.push(await path(rack.node(2), { ...options, name: 'UEFI → iPXE' }));
    figures.push(await path(rack.node(3), { ...options, name: 'UEFI HTTP' }));
  }
  const pxelinux = { name: 'bench-boot-pxelinux', uboot: 1, bootMethod: 'pxelinux', off: true, ...oneBoard } as const;
  await using rack = await virtualRack(pxelinux);
  figures.splice(1, 0, await path(rack.node(1), { ...options, name: 'U-Boot → pxelinux' }));
  return figures;
}

/** A C2's memory; more than one core is slower where QEMU emulates on two. */
const oneBoard = { memoryMb: 2048, cores: 1 };

async function path(board: RackNode, { name, runs, print }: BenchOptions & { name: string }): Promise<Figure> {
  const samples: number[] = [];
  for (let run = 1; run <= runs; run++) {
    const before = (await board.seen())?.bootId;
    const startedAt = performance.now();
    await board.powerOn();
    await board.until(({ state, bootId }) => state === 'ready' && bootId !== before, {
      what: 'ready',
      timeoutMs: readyWithinMs,
    });
    samples.push((performance.now() - startedAt) / 1000);
    await board.powerOff();
    print(`${name} ${run}/${runs}: ${samples.at(-1)?.toFixed(1)} s`);
  }
  return figureOf({
    name: `power-on to ready, ${name}`,
    unit: 's',
    samples,
    aim: 60,
    how: 'start of the QEMU process until GET /v1/nodes says ready (asked every 100 ms); one board on at a time',
  });
}
