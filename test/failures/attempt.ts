// `muster up` as an operator types it, in a rack's network, to its end: for starts that are refused.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RackNetwork } from '../qemu/rack-network.ts';
import { runTied } from '../qemu/tied-process.ts';

export const controllerProgram = fileURLToPath(new URL('../../controller/main.ts', import.meta.url));
export const cacheDir = fileURLToPath(new URL('../../.cache', import.meta.url));

export interface Attempt {
  code: number | null;
  /** What it said on stderr, without the last line's end. */
  said: string;
}

export async function attempt(network: RackNetwork, flags: readonly string[]): Promise<Attempt> {
  const { code, stderr } = await runTied(
    network.inside([process.execPath, '--disable-warning=ExperimentalWarning', controllerProgram, 'up', ...flags]),
    { timeoutMs: 120_000 },
  );
  return { code, said: stderr.trimEnd() };
}

/**
 * A rack's network whose bridge runs. Made a moment ago it has no carrier yet, and Node does not list an interface without
 * one.
 */
export async function runningNetwork(options: { boards: number }): Promise<RackNetwork> {
  const network = await RackNetwork.create({ ...options, port: 0 });
  const { code } = await network.exec(
    ['sh', '-c', 'until ip link show br0 | grep -q "state UP"; do sleep 0.02; done'],
    {
      timeoutMs: 10_000,
    },
  );
  if (code === 0) return network;
  await network[Symbol.asyncDispose]();
  throw new Error('the bridge of the rack has no carrier after 10 s');
}

export interface Scratch extends AsyncDisposable {
  path: string;
}

export async function scratch(): Promise<Scratch> {
  const path = await mkdtemp(join(tmpdir(), 'muster-failures-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
