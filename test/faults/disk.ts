// Fault 16: no room on the controller's disk when the order comes. It must be refused loudly or kept whole; then nothing of
// it may be left after a restart, or all.
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Customer, Workload } from '../../protocol/api.ts';
import type { Steps } from './drill.ts';
import { keyOf, type AcceptedOrder, type Rig } from './rig.ts';

const refusal = /: 5\d\d \{"error":"[^"]*the disk is full; nothing was changed/;
const triesAtMost = 300;
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
      const { bavail, bsize } = statfsSync(rig.stateDir);
      writeFileSync(ballast, Buffer.alloc(bavail * bsize));
      await untilRefused(rig);
      const answer = await rig.kill('acme').catch((error: unknown) => asError(error));
      if (!(answer instanceof Error)) {
        // SQLite found room for it in files that it has: then it is kept.
        await restart();
        if ((await rig.standingOrders()) !== 1) throw new Error('an accepted order does not stand after a restart');
        return answer;
      }
      if (!refusal.test(answer.message)) throw new Error('the order was refused in other words', { cause: answer });
      if ((await rig.standingOrders()) !== 0) throw new Error('an order stands, though it was refused');
      for (const node of rig.nodes)
        if (!rig.observer.isPopulated(keyOf(node, 'acme'))) throw new Error('a refused order stopped acme');
      await restart();
      if ((await rig.standingOrders()) !== 0) throw new Error('a refused order stands after a restart');
      return await rig.kill('acme');
    },
    async heal() {
      makeRoom();
      if (!rig.controller.isRunning) await rig.controller.start();
      await removeFiller(rig);
    },
    boltMayStop: 'anywhere',
  };
}

/** Large changes, until one finds no room: SQLite has some in files that it has already. Throws where none is refused. */
async function untilRefused(rig: Rig): Promise<void> {
  try {
    await rig.controller.api('POST', '/v1/customers', { name: filler });
  } catch (error) {
    unlessRefused(error);
    return;
  }
  const command = Array.from({ length: 60 }, () => 'x'.repeat(4_000));
  for (let i = 0; i < triesAtMost; i++) {
    try {
      await rig.controller.api('PUT', `/v1/workloads/${filler}/w${i}`, { image: 'app', replicas: 0, command });
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
    if (customer === filler) await rig.controller.api('DELETE', `/v1/workloads/${customer}/${name}`);
  const { customers } = await rig.controller.get('/v1/customers', Type.Object({ customers: Type.Array(Customer) }));
  if (customers.some(({ name }) => name === filler)) await rig.controller.api('DELETE', `/v1/customers/${filler}`);
}

function unlessRefused(error: unknown): void {
  if (!(error instanceof Error) || !refusal.test(error.message)) throw error;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
