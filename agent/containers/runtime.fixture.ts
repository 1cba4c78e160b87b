// A runtime as a node has it, but for its images and configurations, which the test has: for `*.sandboxed.ts` alone.
import { join } from 'node:path';
import { createRuntime, type Runtime, type RuntimeOptions } from './runtime.ts';

export const cgroupRoot = '/sys/fs/cgroup';
export const nodeAddress = '10.77.0.50';

export interface TestRuntimeOptions extends Pick<RuntimeOptions, 'stateDir' | 'seccompFile' | 'fetchSquashfs' | 'log'> {
  /** By digest, as the controller would send them. */
  configurations: ReadonlyMap<string, Buffer>;
  imageCacheBytes?: number;
}

export function testRuntime({ configurations, ...options }: TestRuntimeOptions): Runtime {
  return createRuntime({
    cgroupRoot,
    firstProcessDirectory: join(options.stateDir, 'first'),
    imageCacheBytes: 64 * 2 ** 20,
    requireLimits: false,
    nodeName: () => 'node-test',
    network: { rackInterface: 'rack0', rackSubnet: '10.77.0.0/24', nodeAddress, controllerAddress: '10.77.0.1' },
    fetchConfiguration: (sha256) => {
      const text = configurations.get(sha256);
      return text === undefined ? Promise.reject(new Error(`no configuration ${sha256}`)) : Promise.resolve(text);
    },
    ...options,
  });
}

type Until = (what: string, holds: () => boolean) => Promise<void>;

/** Stops everything and waits until nothing of it is left, so that what comes next begins on a clean node. */
export async function endRuntime(runtime: Runtime, until: Until): Promise<void> {
  await runtime.stopEverything('removed').gone;
  runtime.apply({ generation: 1_000_000, customers: [], instances: [] });
  await until('the node is clean', () => runtime.reports().length === 0 && runtime.loads().length === 0);
  await runtime[Symbol.asyncDispose]();
}
