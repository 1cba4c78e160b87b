// A customer with running containers on the boards of a rack, by the command line and the API as an operator would.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Type } from 'typebox';
import { Instance } from '../../protocol/api/instances.ts';
import { defaultCacheDir, type VirtualRack } from '../qemu/rack.ts';

const changedWithinMs = 180_000;

export async function muster(rack: VirtualRack, words: string): Promise<void> {
  const { code, stdout, stderr } = await rack.cli(words, { timeoutMs: 120_000 });
  if (code !== 0) throw new Error(`muster ${words} ended with ${code}: ${stderr.trim()} ${stdout.trim()}`);
}

/** The sample web service, from the archive that set-up made. */
export async function importWeb(rack: VirtualRack): Promise<void> {
  await muster(rack, `image import ${join(defaultCacheDir, 'samples/current/web.tar')} --name web`);
}

/** A new customer with that many containers of `web`, two processes each; resolves when all run. */
export async function deployWeb(
  rack: VirtualRack,
  { customer, replicas }: { customer: string; replicas: number },
): Promise<void> {
  await muster(rack, `customer add ${customer}`);
  await muster(
    rack,
    `deploy ${customer}/web --image web --replicas ${replicas} --port 8080 --memory 32M --processes 32`,
  );
  await allRun(rack, { customer, count: replicas });
}

export async function instancesOf(rack: VirtualRack, customer: string): Promise<Instance[]> {
  const answer = Type.Object({ instances: Type.Array(Instance) });
  return (await rack.controller.get(`/v1/instances?customer=${customer}`, answer)).instances;
}

/** Waits until the controller knows of that many running instances, and returns them. */
export function allRun(
  rack: VirtualRack,
  { customer, count }: { customer: string; count: number },
): Promise<Instance[]> {
  const fits = (instances: Instance[]) =>
    instances.length === count && instances.every(({ state }) => state === 'running');
  return untilInstances(rack, { customer, what: `run ${count} instances`, fits });
}

/** Waits until the controller knows of no running instance: a receipt comes before the report that says so. */
export function noneRuns(rack: VirtualRack, customer: string): Promise<Instance[]> {
  return untilInstances(rack, {
    customer,
    what: 'stop',
    fits: (instances) => instances.every(({ state }) => state !== 'running'),
  });
}

async function untilInstances(
  rack: VirtualRack,
  { customer, what, fits }: { customer: string; what: string; fits: (instances: Instance[]) => boolean },
): Promise<Instance[]> {
  const deadline = performance.now() + changedWithinMs;
  for (;;) {
    const instances = await instancesOf(rack, customer);
    if (fits(instances)) return instances;
    if (performance.now() > deadline) {
      const states = instances.map(({ id, state, reason }) => `${id} ${state} ${reason}`).join(', ');
      throw new Error(`${customer} does not ${what} within ${changedWithinMs / 1000} s: ${states}`);
    }
    await delay(50);
  }
}
