// The real controller with the store of a full rack, and that many simulated agents, which reach it over a veth pair, each
// from a UDP socket of its own.
import { once } from 'node:events';
import { cp, mkdtemp, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { KillOrder, KillTimeline } from '../../protocol/api/orders.ts';
import { Status } from '../../protocol/api/status.ts';
import { heartbeatIntervalMs, rollCallPort } from '../../protocol/timing.ts';
import type { ControllerProcess } from '../qemu/controller-process.ts';
import { rackAddress, type RackNetwork } from '../qemu/rack-network.ts';
import { endProcess, startTied } from '../qemu/tied-process.ts';
import { controllerAlone, type ControllerAlone } from './controller-alone.ts';
import { rackCustomer, seedStore, type SeededNode } from './seeded-store.ts';

const agentsProgram = fileURLToPath(new URL('simulated-agents.ts', import.meta.url));
const readyWithinMs = 120_000;
const evidenceWithinMs = 60_000;
/** The kernel's clock for /proc/<pid>/stat, ticks a second. */
const ticksPerSecond = 100;

export interface SimulatedRack extends AsyncDisposable {
  controller: ControllerProcess;
  network: RackNetwork;
  agents: SimulatedAgents;
  /** Drops this share of what arrives at the controller, and of what arrives at the agents. */
  lose(percent: number): Promise<void>;
}

interface RackOptions {
  nodes: number;
  /** Of each agent; the real one's where left out. */
  heartbeatMs?: number;
  /** Of the controller. */
  environment?: ReadonlyMap<string, string>;
  print: (text: string) => void;
}

/** Resolves when every agent's node is ready. */
export async function simulatedRack(options: RackOptions): Promise<SimulatedRack> {
  await using stack = new AsyncDisposableStack();
  const stateDir = await mkdtemp(join(tmpdir(), 'bench-rack-'));
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  options.print(`making a store of ${options.nodes} nodes`);
  const nodes = await seedStore(stateDir, options.nodes);
  await settleStore(stateDir);
  const alone = stack.use(await startedController(stateDir, options.environment));
  const rack = stack.use(await connectAgents(alone, { ...options, nodes }));
  await allReady(rack.controller, nodes.length);
  const running = stack.move();
  return { ...rack, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** Racks of a controller and a network each, all on copies of one store. No agent runs before the last controller does. */
export async function startRacks({
  count,
  ...options
}: RackOptions & { count: number }): Promise<AsyncDisposable & { all: SimulatedRack[] }> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'bench-racks-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  options.print(`making ${count} stores of ${options.nodes} nodes`);
  const nodes = await seedStore(join(directory, '0'), options.nodes);
  await settleStore(join(directory, '0'));
  for (let index = 1; index < count; index++)
    await cp(join(directory, '0'), join(directory, String(index)), { recursive: true });
  const alone: ControllerAlone[] = [];
  for (let index = 0; index < count; index++)
    alone.push(stack.use(await startedController(join(directory, String(index)))));
  options.print(`${count} controllers run`);
  const all: SimulatedRack[] = [];
  for (const each of alone) all.push(stack.use(await connectAgents(each, { ...options, nodes })));
  options.print(`${count * nodes.length} agents run`);
  for (const { controller } of all) await allReady(controller, nodes.length);
  const running = stack.move();
  return { all, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** The first start makes certificate, keys and Node's compile cache, and keeps the parser that it needed for that. */
export async function settleStore(stateDir: string): Promise<void> {
  await using alone = await startedController(stateDir);
  await alone.controller.kill9();
}

async function startedController(
  stateDir: string,
  environment: ReadonlyMap<string, string> = new Map(),
): Promise<ControllerAlone> {
  await using stack = new AsyncDisposableStack();
  const alone = stack.use(await controllerAlone(stateDir, { environment }));
  await alone.controller.start();
  const running = stack.move();
  return { ...alone, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

async function connectAgents(
  { network, controller }: ControllerAlone,
  { nodes, heartbeatMs = heartbeatIntervalMs }: { nodes: readonly SeededNode[]; heartbeatMs?: number },
): Promise<SimulatedRack> {
  const agents = await startAgents(network, { nodes, heartbeatMs });
  return {
    controller,
    network,
    agents,
    lose: async (percent) => {
      for (const pid of [network.holderPid, agents.pid]) await loseArrivals(network, { pid, percent });
    },
    [Symbol.asyncDispose]: () => agents[Symbol.asyncDispose](),
  };
}

export async function allReady(controller: ControllerProcess, count: number): Promise<void> {
  const deadline = performance.now() + readyWithinMs;
  for (let ready = 0; ready < count;) {
    if (performance.now() > deadline) throw new Error(`${ready} of ${count} agents are ready`);
    await delay(500);
    ready = (await controller.get('/v1/status', Status)).nodes['ready'] ?? 0;
  }
}

const AgentCount = Type.Object({ oldestMs: Type.Number(), answersMs: Type.Array(Type.Number()) });
type AgentCount = Type.Static<typeof AgentCount>;

export interface SimulatedAgents extends AsyncDisposable {
  /** Its network is theirs, with the address 10.77.0.2. */
  pid: number;
  /**
   * Resolves when the program has counted once more, with how old the oldest permit of any agent became meanwhile, and how
   * long each permit took.
   */
  nextCount(): Promise<AgentCount>;
}

/** In a network namespace of their own, on the rack's bridge: what the controller hears comes in by its interface. */
export async function startAgents(
  network: RackNetwork,
  { nodes, heartbeatMs }: { nodes: readonly SeededNode[]; heartbeatMs: number },
): Promise<SimulatedAgents> {
  const command = ['unshare', '--net', '--', process.execPath, '--disable-warning=ExperimentalWarning', agentsProgram];
  const agents = await startTied(network.inside(command), { stdio: ['pipe', 'pipe', 'inherit'] });
  const dispose = () => endProcess(agents, 'SIGKILL');
  const { pid = 0, stdin, stdout } = agents;
  try {
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
    const orders = { controller: rackAddress, port: rollCallPort, heartbeatMs, agents: agentKeys };
    stdin?.write(`${JSON.stringify(orders)}\n`);
    if (stdout === null) throw new Error('cannot hear the simulated agents: no stdout');
    const lines = createInterface({ input: stdout });
    const nextCount = async () => {
      const [line]: unknown[] = await once(lines, 'line', { signal: AbortSignal.timeout(readyWithinMs) });
      const count: unknown = JSON.parse(String(line));
      if (!Check(AgentCount, count)) throw new Error(`the simulated agents count ${String(line)}`);
      return count;
    };
    await nextCount();
    return { pid, nextCount, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
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

/** Where datagrams arrive, so that their sender, as on a real network, is told nothing of the loss. */
async function loseArrivals(network: RackNetwork, { pid, percent }: { pid: number; percent: number }): Promise<void> {
  const rules = `table ip loss {
      chain arrivals {
        type filter hook input priority 0
        meta l4proto udp numgen random mod 100 < ${percent} drop
      }
    }`;
  const { code, stderr } = await network.exec(['nsenter', '--target', String(pid), '--net', '--', 'nft', '-f', '-'], {
    input: rules,
  });
  if (code !== 0) throw new Error(`cannot lose ${percent} %: ${stderr.trim()}`);
}

/** Of a process with all its threads, as the kernel accounts for it. */
export async function usage(pid: number): Promise<{ cpuSeconds: number; residentBytes: number }> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
  const [user = NaN, system = NaN] = fields.slice(11, 13).map(Number);
  const residentKb = Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return { cpuSeconds: (user + system) / ticksPerSecond, residentBytes: residentKb * 1024 };
}

/**
 * Gives an order to each controller at once. Each node's time until it counted as stopped, ms, by its receipt, or by its
 * silence, which takes 4 s and so shows. Lifts the orders again.
 */
export async function killAll(controllers: readonly ControllerProcess[]): Promise<number[]> {
  return (await Promise.all(controllers.map((controller) => killOnce(controller)))).flat();
}

async function killOnce(controller: ControllerProcess): Promise<number[]> {
  const order = await controller.api('POST /v1/kill', { customer: rackCustomer, reason: 'bench' });
  if (!Check(KillOrder, order)) throw new Error(`POST /v1/kill: ${JSON.stringify(order)} is no kill order`);
  const deadline = performance.now() + evidenceWithinMs;
  for (;;) {
    await delay(500); // rarely: each answer of 684 lines is work for the one that is measured
    const { timeline, nodes } = await controller.get(`/v1/kill/${order.number}`, KillTimeline);
    const evidenceMs = timeline.flatMap(({ evidence, evidenceAfterMs }) =>
      evidence === null ? [] : (evidenceAfterMs ?? []),
    );
    if (evidenceMs.length === nodes) {
      await controller.api('POST /v1/lift', { customer: rackCustomer });
      return evidenceMs;
    }
    if (performance.now() > deadline)
      throw new Error(`order ${order.number}: ${evidenceMs.length} of ${nodes} nodes count as stopped`);
  }
}
