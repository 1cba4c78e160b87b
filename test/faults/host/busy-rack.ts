// Fault 18: everything that a rack does besides permits, at once: `load.ts` and `listeners.ts` as processes.
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startBoards } from '../../qemu/dhcp-boards.ts';
import { rackAddress } from '../../qemu/rack-network.ts';
import { endProcess, startTied } from '../../qemu/tied-process.ts';
import type { Rig } from './rig.ts';

const listenerCount = 32;

export interface BusyRack extends AsyncDisposable {
  /** What was done so far: leases, downloads, files, bytes of event streams. */
  readonly done: Readonly<Record<string, number>>;
}

export async function startBusyRack(rig: Rig): Promise<BusyRack> {
  const done: Record<string, number> = {};
  const count = (child: ChildProcess): void => {
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const counts: Record<string, number> = JSON.parse(line);
      Object.assign(done, counts);
    });
  };
  await using stack = new AsyncDisposableStack();
  const kernel = await kernelPath(rig);
  const boards = { program: new URL('load.ts', import.meta.url), args: [rackAddress, kernel] };
  const load = await startBoards(rig.network, boards);
  stack.defer(() => endProcess(load, 'SIGKILL'));
  count(load);
  const program = fileURLToPath(new URL('listeners.ts', import.meta.url));
  const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
  const token = await rig.controller.token();
  const listeners = await startTied(
    [...node, program, `${rig.controller.url}/v1/stream`, String(listenerCount), token],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  stack.defer(() => endProcess(listeners, 'SIGKILL'));
  count(listeners);
  const running = stack.move();
  return { done, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** As the nodes' boot script names it. */
async function kernelPath(rig: Rig): Promise<string> {
  const script = await rig.nodes[0]?.read('/run/boot.ipxe');
  const path = /(\/kernel\/[0-9a-f]{64})/.exec(script ?? '')?.[1];
  if (path === undefined) throw new Error(`cannot find the kernel in the boot script: ${script}`);
  return path;
}
