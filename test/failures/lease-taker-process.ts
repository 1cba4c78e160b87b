import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { withDeviceSockets } from '../../boot/device-sockets.ts';
import type { RackNetwork } from '../qemu/rack-network.ts';
import { endProcess, startTied } from '../qemu/tied-process.ts';

const program = fileURLToPath(new URL('lease-taker.ts', import.meta.url));

export interface LeaseTaker extends AsyncDisposable {
  readonly taken: number;
}

/** Runs `lease-taker.ts` on the far end of the cable that hangs in the rack's bridge; fills `leases`, MAC to address. */
export async function startLeaseTaker(
  network: RackNetwork,
  { firstBoard, leases }: { firstBoard: number; leases: Map<string, string> },
): Promise<LeaseTaker> {
  const sockets = [{ name: 'client', address: '0.0.0.0', port: 68 }];
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', program, String(firstBoard)];
  const taker = withDeviceSockets({ interface: 'carrier1', sockets, command });
  // Client and server share one namespace and so one address, which the kernel takes for a forgery unless it is told.
  const accept = 'echo 1 >/proc/sys/net/ipv4/conf/all/accept_local; exec "$@"';
  const child = await startTied(network.inside(['sh', '-c', accept, 'sh', ...taker]), {
    stdio: ['ignore', 'pipe', 'inherit'],
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
