// Fault 16: the controller's disk is full, or takes seconds for each flush, when the order comes. It is in force all the same,
// its answer says that it is not stored, and it is stored as soon as the disk takes it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Type } from 'typebox';
import { Customer } from '../../../protocol/api/customers.ts';
import { KillOrder } from '../../../protocol/api/orders.ts';
import { Workload } from '../../../protocol/api/workloads.ts';
import { drill, type Steps } from './drill.ts';
import type { Run } from '../fault.ts';
import type { AcceptedOrder, Rig } from './rig.ts';
import { until } from '../../until.ts';

const refusal = /: 5\d\d \{[^\n]*the disk is full; nothing was changed/;
const triesAtMost = 600;
const filler = 'filler';

export function fillDisk(rig: Rig): Steps {
  const ballast = join(rig.stateDir, 'ballast');
  const makeRoom = (): void => rmSync(ballast, { force: true });
  const restart = async (): Promise<void> => {
    await rig.controller.kill9();
    makeRoom();
    await rig.controller.start();
  };
  return {
    async order(): Promise<AcceptedOrder> {
      takeAllRoom(ballast);
      await untilRefused(rig);
      return await rig.kill('acme');
    },
    async heal() {
      makeRoom();
      await untilStored(rig);
      await restart();
      if ((await rig.standingOrders()) !== 1)
        throw new Error(`${await rig.standingOrders()} orders stand after a restart, want the one that was stored`);
      await removeFiller(rig);
    },
    boltMayStop: 'anywhere',
  };
}

function takeAllRoom(ballast: string): void {
  const { bavail, bsize } = statfsSync(dirname(ballast));
  try {
    writeFileSync(ballast, Buffer.alloc(bavail * bsize));
  } catch (error) {
    // The controller writes meanwhile: then the room is gone sooner.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  }
}

/** Each flush of the controller takes this long from here on: what stands between it and the C library sleeps first. */
export async function flushesLast(rig: Rig, seconds: number): Promise<Run> {
  const directory = mkdtempSync(join(tmpdir(), 'muster-slow-flush-'));
  const source = join(directory, 'slow-flush.c');
  const library = join(directory, 'slow-flush.so');
  const delayFile = join(directory, 'delay-ms');
  writeFileSync(source, slowFlush);
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source]);
  const set = (ms: number): void => writeFileSync(delayFile, `${ms}\n`);
  set(0);
  rig.controllerEnvironment.set('LD_PRELOAD', library).set('SLOW_FLUSH_FILE', delayFile);
  try {
    await rig.controller.restart();
    await rig.allReady();
    return await drill(rig, {
      before: () => Promise.resolve(set(seconds * 1_000)),
      async verify() {
        const { orders } = await rig.controller.get('/v1/kill', Type.Object({ orders: Type.Array(KillOrder) }));
        if (orders.every(({ stored }) => stored)) throw new Error('the order is stored: no flush was slow');
        return undefined;
      },
      async heal() {
        set(0);
        await untilStored(rig);
      },
    });
  } finally {
    set(0);
    rig.controllerEnvironment.clear();
    await rig.controller.restart();
    await rig.allReady();
    rmSync(directory, { recursive: true, force: true });
  }
}

const slowFlush = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static void wait_as_told(void) {
  long ms = 0;
  const char *name = getenv("SLOW_FLUSH_FILE");
  FILE *file = name ? fopen(name, "r") : NULL;
  if (file) { if (fscanf(file, "%ld", &ms) != 1) ms = 0; fclose(file); }
  struct timespec left = { ms / 1000, (ms % 1000) * 1000000L };
  while (ms > 0 && nanosleep(&left, &left) != 0) {}
}
int fsync(int fd) { wait_as_told(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { wait_as_told(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
`;

async function untilStored(rig: Rig): Promise<void> {
  await until('the order is stored', async () => {
    const { orders } = await rig.controller.get('/v1/kill', Type.Object({ orders: Type.Array(KillOrder) }));
    return orders.every(({ stored }) => stored);
  });
}

/** Large changes, until one finds no room: SQLite has some in files that it has already. Throws where none is refused. */
async function untilRefused(rig: Rig): Promise<void> {
  try {
    await rig.controller.api('POST /v1/customers', { name: filler });
  } catch (error) {
    unlessRefused(error);
    return;
  }
  const command = Array.from({ length: 7 }, () => 'x'.repeat(4_000)); // as much as a workload may have
  for (let i = 0; i < triesAtMost; i++) {
    try {
      await rig.controller.api(`PUT /v1/workloads/${filler}/w${i}`, { image: 'app', replicas: 0, command });
    } catch (error) {
      unlessRefused(error);
      return;
    }
  }
  throw new Error(`the disk is not full after ${triesAtMost} changes`);
}

async function removeFiller(rig: Rig): Promise<void> {
  const { workloads } = await rig.controller.get('/v1/workloads', Type.Object({ workloads: Type.Array(Workload) }));
  for (const { customer, name } of workloads)
    if (customer === filler) await rig.controller.api(`DELETE /v1/workloads/${customer}/${name}`);
  const { customers } = await rig.controller.get('/v1/customers', Type.Object({ customers: Type.Array(Customer) }));
  if (customers.some(({ name }) => name === filler)) await rig.controller.api(`DELETE /v1/customers/${filler}`);
}

function unlessRefused(error: unknown): void {
  if (!(error instanceof Error) || !refusal.test(error.message)) throw error;
}
