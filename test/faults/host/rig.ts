// The rack on this machine: the real controller and some nodes (`node.ts`) in network namespaces, with two customers,
// `acme`, who will be killed, and `bolt`, who must not notice. The controller keeps its state on a small disk of its own,
// so that the disk can run full.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { killGroup, removeTree } from '../../../agent/containers/groups/control-group.fixture.ts';
import { sampleArchives } from '../../../images/customer/samples.ts';
import { bundleAgent } from '../../../images/bundle.ts';
import { Event } from '../../../protocol/api/events.ts';
import { Instance } from '../../../protocol/api/instances.ts';
import { KillOrder, KillTimeline } from '../../../protocol/api/orders.ts';
import { Workload, type WorkloadSpec } from '../../../protocol/api/workloads.ts';
import { ControllerProcess } from '../../qemu/controller-process.ts';
import { defaultCacheDir } from '../../qemu/rack.ts';
import { RackNetwork } from '../../qemu/rack-network.ts';
import { writeSeccompProfile } from '../../../agent/containers/oci/seccomp-profile.fixture.ts';
import { HostNode } from './node.ts';
import { monotonicMs, Observer } from './observer.ts';
import { until } from '../../until.ts';

export const customers = ['acme', 'bolt'] as const;
export type Customer = (typeof customers)[number];

const rootDir = fileURLToPath(new URL('../../..', import.meta.url));
const stateDiskBytes = 32 * 2 ** 20;
const allRunWithinMs = 120_000;
/** All instances run, and one node has none of them: this long is no moment between two reports. */
const placedElsewhereMs = 5_000;
const instanceLimits = { memoryBytes: 16 * 2 ** 20, cpu: 0.05, processes: 15 };

/** What an instance of each customer does: two processes, one of them below the other. */
export const ordinary = ['/bin/sh', '-c', 'sleep 100000 & sleep 100000'];

export interface RigOptions {
  /** Of the folder below `artefacts/` that keeps its logs: rigs of several names run beside each other. */
  name: string;
  nodes: number;
  print: (line: string) => void;
}

export interface AcceptedOrder {
  number: number;
  /** When its answer was here, on `monotonicMs`. */
  acceptedMs: number;
}

function pathOf(customer: Customer): string {
  return `/v1/workloads/${customer}/app`;
}

export class Rig implements AsyncDisposable {
  readonly network: RackNetwork;
  readonly controller: ControllerProcess;
  readonly nodes: readonly HostNode[];
  readonly observer: Observer;
  readonly stateDir: string;
  /** More of the controller's environment from its next start on: `env` writes it. */
  readonly controllerEnvironment: Map<string, string>;
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: {
    network: RackNetwork;
    controller: ControllerProcess;
    nodes: readonly HostNode[];
    observer: Observer;
    stateDir: string;
    controllerEnvironment: Map<string, string>;
    stack: AsyncDisposableStack;
  }) {
    this.network = parts.network;
    this.controller = parts.controller;
    this.nodes = parts.nodes;
    this.observer = parts.observer;
    this.stateDir = parts.stateDir;
    this.controllerEnvironment = parts.controllerEnvironment;
    this.#stack = parts.stack;
  }

  /** Resolves when all customers run on all nodes. */
  static async create({ name, nodes: count, print }: RigOptions): Promise<Rig> {
    await using stack = new AsyncDisposableStack();
    const artefactsDir = join(rootDir, 'artefacts', name);
    rmSync(artefactsDir, { recursive: true, force: true });
    mkdirSync(artefactsDir, { recursive: true });
    const scratch = mkdtempSync(join(tmpdir(), 'muster-faults-'));
    stack.defer(() => rmSync(scratch, { recursive: true, force: true }));
    const stateDir = join(scratch, 'state');
    // Before the network: its mounts are a copy of ours.
    stack.use(smallDisk(stateDir));
    const seccompFile = join(scratch, 'seccomp.json');
    writeSeccompProfile(seccompFile);
    await writeAgent(scratch);
    const groups = stack.use(nodesGroup());

    const network = stack.use(await RackNetwork.create({ boards: 0, port: 0 }));
    const controllerEnvironment = new Map<string, string>();
    const controller = stack.use(
      new ControllerProcess({
        network,
        stateDir: join(stateDir, 'muster'),
        cacheDir: defaultCacheDir,
        logPath: join(artefactsDir, 'controller.log'),
        flags: [],
        environment: controllerEnvironment,
      }),
    );
    await controller.start();
    const nodes = Array.from({ length: count }, (_, i) => {
      const logPath = join(artefactsDir, `node-${i + 1}.log`);
      return stack.use(
        new HostNode({ number: i + 1, network, groupRoot: groups.path, agentDir: scratch, seccompFile, logPath }),
      );
    });
    const watched = nodes.flatMap((node) => customers.map((customer) => ({ node, customer })));
    const observer = stack.use(
      new Observer(
        watched.map(({ node, customer }) => ({
          key: keyOf(node, customer),
          events: join(node.groupOf(customer), 'cgroup.events'),
        })),
      ),
    );
    await Promise.all(nodes.map((node) => node.powerOn()));
    const rig = new Rig({
      network,
      controller,
      nodes,
      observer,
      stateDir,
      controllerEnvironment,
      stack: stack.move(),
    });
    try {
      await rig.#populate(print);
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
    return rig;
  }

  async #populate(print: (line: string) => void): Promise<void> {
    await this.allReady();
    print(`${this.nodes.length} nodes are ready`);
    // Told to be a board's image, which is all that the controller takes; the program in it is this machine's own.
    const { web } = sampleArchives({ busybox: readFileSync('/bin/busybox'), architecture: 'arm64' });
    await this.#upload('app', web);
    for (const name of customers) {
      await this.controller.api('POST /v1/customers', { name });
      await this.deploy(name, { replicas: this.nodes.length, command: ordinary });
    }
    await this.allRun();
    print('both customers run on all of them');
  }

  async #upload(name: string, archive: Buffer): Promise<void> {
    const upload = request(`${this.controller.url}/v1/images?name=${name}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await this.controller.token()}`, 'content-type': 'application/octet-stream' },
    });
    upload.end(archive);
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    upload.once('response', resolve).once('error', reject);
    const answer = await promise;
    answer.resume();
    if (answer.statusCode !== 201) throw new Error(`cannot import the image: status ${answer.statusCode}`);
  }

  async deploy(customer: Customer, { replicas, command }: Pick<WorkloadSpec, 'replicas' | 'command'>): Promise<void> {
    const spec: WorkloadSpec = { image: 'app', replicas, ...instanceLimits };
    await this.controller.api(`PUT ${pathOf(customer)}`, command === undefined ? spec : { ...spec, command });
  }

  workload(customer: Customer): Promise<Workload> {
    return this.controller.get(pathOf(customer), Workload);
  }

  async instances(customer: Customer): Promise<Instance[]> {
    const answer = Type.Object({ instances: Type.Array(Instance) });
    return (await this.controller.get(`/v1/instances?customer=${customer}`, answer)).instances;
  }

  async allReady(): Promise<void> {
    await until(
      'all nodes are ready',
      async () => {
        const states = (await this.controller.nodes()).filter(({ mac }) => this.nodes.some((node) => node.mac === mac));
        return states.length === this.nodes.length && states.every(({ state }) => state === 'ready');
      },
      { withinMs: 30_000, everyMs: 50 },
    );
  }

  /** On each node each customer has a process, all that is wanted runs as it was last deployed, and nothing else does. */
  async allRun(): Promise<void> {
    let why = '';
    let missingSinceMs: number | undefined;
    const runs = async (): Promise<boolean> => {
      for (const customer of customers) {
        const instances = await this.instances(customer);
        const others = instances.filter(({ state }) => state !== 'running');
        why = `${customer}: ${instances.length} instances, ${others.map(({ state, reason }) => `${state} ${reason}`).join(', ')}`;
        const { replicas, updated } = await this.workload(customer);
        if (others.length > 0 || updated !== replicas || instances.length !== replicas) return false;
        why = `${customer} has no process on a node`;
        if (this.nodes.every((node) => this.observer.isPopulated(keyOf(node, customer)))) continue;
        // What failed to start more than once was placed on another node, and stays there.
        missingSinceMs ??= monotonicMs();
        if (monotonicMs() - missingSinceMs > placedElsewhereMs) {
          await this.#placeAnew(customer);
          missingSinceMs = undefined;
        }
        return false;
      }
      return true;
    };
    await until('all run', runs, { withinMs: allRunWithinMs, everyMs: 50 }).catch((cause: unknown) => {
      throw new Error(`not all run after ${allRunWithinMs / 1000} s: ${why}`, { cause });
    });
  }

  async #placeAnew(customer: Customer): Promise<void> {
    const { replicas, command } = await this.workload(customer);
    await this.controller.api(`DELETE ${pathOf(customer)}`);
    await until(`${customer} is away`, async () => (await this.instances(customer)).length === 0);
    await this.deploy(customer, { replicas, ...(command === null ? {} : { command }) });
  }

  /** What the controller saw last, a line each: why something that nobody wanted came to be. */
  async lastEvents(): Promise<string> {
    const answer = Type.Object({ events: Type.Array(Event) });
    const { events } = await this.controller.get('/v1/events?limit=40', answer);
    return events.map(({ at, kind, subject, message }) => `${at} ${kind} ${subject}: ${message}`).join('\n');
  }

  async kill(customer: Customer): Promise<AcceptedOrder> {
    const order = await this.controller.api('POST /v1/kill', { customer, reason: 'drill of faults' });
    const acceptedMs = monotonicMs();
    if (!Check(KillOrder, order)) throw new Error(`POST /v1/kill: ${JSON.stringify(order)} is no kill order`);
    return { number: order.number, acceptedMs };
  }

  async lift(customer: Customer): Promise<void> {
    await this.controller.api('POST /v1/lift', { customer, reason: 'drill of faults' });
  }

  async standingOrders(): Promise<number> {
    const { orders } = await this.controller.get('/v1/kill', Type.Object({ orders: Type.Array(KillOrder) }));
    return orders.filter(({ liftedAt }) => liftedAt === null).length;
  }

  timeline(number: number): Promise<KillTimeline> {
    return this.controller.get(`/v1/kill/${number}`, KillTimeline);
  }

  /** In the rack's network. Throws what the program said when it ends with an error. */
  async inRack(argv: readonly string[], input = ''): Promise<string> {
    const { code, stdout, stderr } = await this.network.exec(argv, { input });
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr.trim()}`);
    return stdout;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

export function keyOf(node: HostNode, customer: Customer): string {
  return `${node.number} ${customer}`;
}

/** So that it can run full. */
function smallDisk(path: string): Disposable {
  mkdirSync(path);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${stateDiskBytes}`, 'muster-faults', path]);
  return { [Symbol.dispose]: () => void execFileSync('umount', ['--lazy', path]) };
}

async function writeAgent(directory: string): Promise<void> {
  const entryPoints = { agent: join(rootDir, 'agent/main.ts'), telemetry: join(rootDir, 'agent/telemetry.ts') };
  for (const { name, data } of await bundleAgent(entryPoints, defaultCacheDir))
    writeFileSync(join(directory, name), data);
}

/** A control group of this machine for the nodes of this process. Throws where there can be none. */
function nodesGroup(): AsyncDisposable & { path: string } {
  const unified = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((at) => existsSync(join(at, 'cgroup.controllers')));
  if (unified === undefined) throw new Error('cannot make nodes on this machine: cgroup v2 is not mounted');
  const path = join(unified, `muster-faults-${process.pid}`);
  mkdirSync(path);
  const isRemoved = (): boolean => {
    try {
      removeTree(path);
      return true;
    } catch {
      return false;
    }
  };
  return {
    path,
    [Symbol.asyncDispose]: () => {
      killGroup(path);
      return until('the control groups are empty', isRemoved);
    },
  };
}
