import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { startBoards } from '../qemu/dhcp-boards.ts';
import type { RackNetwork } from '../qemu/rack-network.ts';
import { endProcess } from '../qemu/tied-process.ts';

export interface LeaseTaker extends AsyncDisposable {
  readonly taken: number;
}

/** Runs `lease-taker.ts` at the rack's bridge; fills `leases`, MAC to address. */
export async function startLeaseTaker(
  network: RackNetwork,
  { firstBoard, leases }: { firstBoard: number; leases: Map<string, string> },
): Promise<LeaseTaker> {
  const child = await startBoards(network, {
    program: new URL('lease-taker.ts', import.meta.url),
    args: [String(firstBoard)],
  });
  const closed = once(child, 'close');
  let taken = 0;
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { mac, ip }: { mac: string; ip: string } = JSON.parse(line);
      leases.set(mac, ip);
      taken++;
    });
  return {
    get taken() {
      return taken;
    },
    async [Symbol.asyncDispose]() {
      await endProcess(child, 'SIGKILL');
      await closed;
    },
  };
}
