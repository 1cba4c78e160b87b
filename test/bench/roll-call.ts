// The roll call of a full rack: the real controller with the store of 684 nodes, and 684 simulated agents that reach it
// over a veth pair, each from a UDP socket of its own.
import { once } from 'node:events';
import { mkdtemp, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Check } from 'typebox/value';
import { KillOrder, KillTimeline } from '../../protocol/api.ts';
import { rollCallPort } from '../../protocol/timing.ts';
import type { ControllerProcess } from '../qemu/controller-process.ts';
import { rackAddress, type RackNetwork } from '../qemu/rack-network.ts';
import { endProcess, startTied } from '../qemu/tied-process.ts';
import { controllerAlone } from './controller-alone.ts';
import { figureOf, quantile, type BenchOptions, type Figure } from './figure.ts';
import { rackCustomer, rackNodes, seedStore, type SeededNode } from './seeded-store.ts';

const agentsProgram = fileURLToPath(new URL('simulated-agents.ts', import.meta.url));
const windowMs = 10_000;
const readyWithinMs = 60_000;
const confirmedWithinMs = 10_000;
/** The kernel's clock for /proc/<pid>/stat, ticks a second. */
const ticksPerSecond = 100;

export async function measureRollCall({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const stateDir = await mkdtemp(join(tmpdir(), 'bench-roll-call-'));
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  print(`making a store of ${rackNodes} nodes`);
  const nodes = await seedStore(stateDir, rackNodes);
  const { network, controller } = stack.use(await controllerAlone(stateDir));
  await controller.start();
  stack.use(await startAgents(network, nodes));
  const deadline = performance.now() + readyWithinMs;
  for (let ready = 0; ready < rackNodes;) {
    if (performance.now() > deadline) throw new Error(`${ready} of ${rackNodes} agents are ready`);
    await delay(500);
    ready = (await controller.nodes()).filter(({ state }) => state === 'ready').length;
  }

  const cpu: number[] = [];
  const residentMb: number[] = [];
  for (let run = 1; run <= runs; run++) {
    const before = await usage(controller.pid);
    const startedAt = performance.now();
    await delay(windowMs);
    const after = await usage(controller.pid);
    cpu.push((100 * (after.cpuSeconds - before.cpuSeconds)) / ((performance.now() - startedAt) / 1000));
    residentMb.push(after.residentBytes / 1e6);
    print(`CPU ${run}/${runs}: ${cpu.at(-1)?.toFixed(1)} % of a core, ${residentMb.at(-1)?.toFixed(0)} MB`);
  }

  const [middles, tails, slowest]: [number[], number[], number[]] = [[], [], []];
  for (let run = 1; run <= runs; run++) {
    const confirmedMs = await killOnce(controller);
    middles.push(quantile(confirmedMs, 0.5));
    tails.push(quantile(confirmedMs, 0.99));
    slowest.push(quantile(confirmedMs, 1));
    print(`kill ${run}/${runs}: p50 ${middles.at(-1)}, p99 ${tails.at(-1)}, last ${slowest.at(-1)} ms`);
  }
  return [
    figureOf({
      name: `controller CPU, ${rackNodes} agents`,
      unit: '%',
      samples: cpu,
      how: `of one core over ${windowMs / 1000} s, all its threads, a heartbeat each 750 ms from every agent (${Math.round(rackNodes / 0.75)} a second)`,
    }),
    figureOf({
      name: `controller RSS, ${rackNodes} agents`,
      unit: 'MB',
      samples: residentMb,
      how: 'VmRSS at the end of those windows',
    }),
    receipts('half the receipts', middles),
    receipts('99 % of the receipts', tails),
    receipts('last receipt', slowest),
  ];
}

function receipts(which: string, samples: number[]): Figure {
  return figureOf({
    name: `kill at ${rackNodes} agents: ${which}`,
    unit: 'ms',
    samples,
    how: 'order stored until receipts were in, agents answer at once (confirmedAfterMs over all nodes, per order)',
  });
}

/** In a network namespace of their own, on the rack's bridge: what the controller hears comes in by its interface. */
async function startAgents(network: RackNetwork, nodes: readonly SeededNode[]): Promise<AsyncDisposable> {
  const command = ['unshare', '--net', '--', process.execPath, '--disable-warning=ExperimentalWarning', agentsProgram];
  const agents = await startTied(network.inside(command), { stdio: ['pipe', 'pipe', 'inherit'] });
  const dispose = () => endProcess(agents, 'SIGKILL');
  try {
    const { pid = 0, stdin, stdout } = agents;
    await leftOurNetwork(pid, network.holderPid);
    const enter = `nsenter --target ${pid} --net --`;
    const { code, stderr } = await network.exec([
      'sh',
      '-ec',
      `ip link add agents0 type veth peer name agents1 netns ${pid}
       ip link set agents0 master br0 up
       ${enter} ip address add 10.77.0.2/24 dev agents1
       ${enter} ip link set agents1 up`,
    ]);
    if (code !== 0) throw new Error(`cannot connect the simulated agents: ${stderr.trim()}`);
    const agentKeys = nodes.map(({ session, key }) => ({ session, key }));
    stdin?.write(`${JSON.stringify({ controller: rackAddress, port: rollCallPort, agents: agentKeys })}\n`);
    if (stdout !== null) await once(stdout, 'data', { signal: AbortSignal.timeout(readyWithinMs) });
    stdout?.resume();
  } catch (error) {
    await dispose();
    throw error;
  }
  return { [Symbol.asyncDispose]: dispose };
}

/** The process is started in our namespaces and walks on from there; its network is its own once it differs from both. */
async function leftOurNetwork(pid: number, holderPid: number): Promise<void> {
  const others = await Promise.all(['self', String(holderPid)].map((each) => readlink(`/proc/${each}/ns/net`)));
  const deadline = performance.now() + readyWithinMs;
  while (others.includes(await readlink(`/proc/${pid}/ns/net`))) {
    if (performance.now() > deadline) throw new Error('the simulated agents got no network of their own');
    await delay(10);
  }
}

/** Of a process with all its threads, as the kernel accounts for it. */
async function usage(pid: number): Promise<{ cpuSeconds: number; residentBytes: number }> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
  const [user = NaN, system = NaN] = fields.slice(11, 13).map(Number);
  const residentKb = Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return { cpuSeconds: (user + system) / ticksPerSecond, residentBytes: residentKb * 1024 };
}

/** Each node's time until its receipt was in, ms. Lifts the order again. */
async function killOnce(controller: ControllerProcess): Promise<number[]> {
  const order = await controller.api('POST', '/v1/kill', { customer: rackCustomer, reason: 'bench' });
  if (!Check(KillOrder, order)) throw new Error(`POST /v1/kill: ${JSON.stringify(order)} is no kill order`);
  const deadline = performance.now() + confirmedWithinMs;
  for (;;) {
    await delay(250); // rarely: each answer of 684 lines is work for the one that is measured
    const { timeline, nodes } = await controller.get(`/v1/kill/${order.number}`, KillTimeline);
    const confirmedMs = timeline.flatMap(({ evidence, confirmedAfterMs }) =>
      evidence === 'receipt' ? (confirmedAfterMs ?? []) : [],
    );
    if (confirmedMs.length === nodes) {
      await controller.api('POST', '/v1/lift', { customer: rackCustomer });
      return confirmedMs;
    }
    const silent = timeline.filter(({ evidence }) => evidence === 'silence').length;
    if (silent > 0 || performance.now() > deadline)
      throw new Error(
        `order ${order.number}: ${confirmedMs.length} receipts, ${silent} silent, of ${nodes} nodes: want a receipt of each`,
      );
  }
}
