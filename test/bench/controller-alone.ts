// The real controller in a rack's network without boards.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ControllerProcess, type ControllerOptions } from '../qemu/controller-process.ts';
import { defaultCacheDir } from '../qemu/rack.ts';
import { RackNetwork } from '../qemu/rack-network.ts';

const carrierWithinMs = 10_000;

export interface ControllerAlone extends AsyncDisposable {
  network: RackNetwork;
  /** Not started yet. */
  controller: ControllerProcess;
}

export async function controllerAlone(
  stateDir: string,
  { flags = [], ...options }: Partial<Pick<ControllerOptions, 'environment' | 'openFiles' | 'flags'>> = {},
): Promise<ControllerAlone> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await RackNetwork.create({ boards: 0, port: 0 }));
  // The kernel tells of a bridge's carrier up to a second late, and Node does not list an interface without one.
  const deadline = performance.now() + carrierWithinMs;
  while ((await network.exec(['cat', '/sys/class/net/br0/operstate'])).stdout.trim() !== 'up') {
    if (performance.now() > deadline) throw new Error('the rack’s bridge does not come up');
    await delay(50);
  }
  const logPath = join(stateDir, 'controller.log');
  const controller = stack.use(
    new ControllerProcess({ network, stateDir, cacheDir: defaultCacheDir, logPath, flags, ...options }),
  );
  const running = stack.move();
  return { network, controller, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
