// A full rack's controller, and that many agents that hold permits, while somebody who may not changes nothing, or ought not
// to: what the oldest permit of any board comes to meanwhile.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { heartbeatIntervalMs } from '../../protocol/timing.ts';
import { controllerAlone } from '../bench/controller-alone.ts';
import { seedStore, type SeededNode } from '../bench/seeded-store.ts';
import { allReady, settleStore, startAgents } from '../bench/simulated-rack.ts';
import type { ControllerOptions, ControllerProcess } from '../qemu/controller-process.ts';
import type { RackNetwork } from '../qemu/rack-network.ts';
import { runTied } from '../qemu/tied-process.ts';

export interface RackUnderAttack extends AsyncDisposable {
  controller: ControllerProcess;
  network: RackNetwork;
  nodes: readonly SeededNode[];
  /** Runs a program on the rack's segment, as a machine of its own. Resolves with what it printed. */
  fromSegment(argv: readonly string[]): Promise<string>;
  /** How old the oldest permit became from now until some seconds after the attack is over, ms. */
  oldestPermitMs(attack: () => Promise<unknown>): Promise<number>;
}

/** Until the work that an attack left behind is done. */
const aftermathCounts = 2;

export async function rackUnderAttack({
  nodes: count,
  ...options
}: { nodes: number } & Pick<ControllerOptions, 'environment' | 'openFiles'>): Promise<RackUnderAttack> {
  await using stack = new AsyncDisposableStack();
  const stateDir = await mkdtemp(join(tmpdir(), 'attack-'));
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  const nodes = await seedStore(stateDir, count);
  await settleStore(stateDir);
  const { network, controller } = stack.use(await controllerAlone(stateDir, options));
  await controller.start();
  const agents = stack.use(await startAgents(network, { nodes, heartbeatMs: heartbeatIntervalMs }));
  await allReady(controller, nodes.length);

  const running = stack.move();
  return {
    controller,
    network,
    nodes,
    fromSegment: async (argv) => {
      const inside = ['nsenter', '--target', String(agents.pid), '--net', '--', ...argv];
      const { code, stdout, stderr } = await runTied(network.inside(inside), { timeoutMs: 120_000 });
      if (code !== 0) throw new Error(`${argv.join(' ').slice(0, 200)}: code ${code}: ${stderr.slice(-1_000)}`);
      return stdout.trim();
    },
    oldestPermitMs: async (attack) => {
      await agents.nextCount();
      let left = Infinity;
      const over = attack().finally(() => (left = aftermathCounts));
      let oldestMs = 0;
      for (; left > 0; left--) oldestMs = Math.max(oldestMs, (await agents.nextCount()).oldestMs);
      await over;
      return oldestMs;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
