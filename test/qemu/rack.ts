// The virtual rack: the real controller, boards in QEMU, and the network between them. Tests read like prose with it, and
// `npm start` is the same thing with a longer life.
//
//   await using rack = await virtualRack({ name: 'kill', uboot: 1, uefi: 1 });
//   await rack.node(1).ready();
//   await rack.node(2).unplug();
//   await rack.controller.kill9();
//
// Each run keeps artefacts/<name>/: br0.pcap, serial-<n>.log, controller.log.
import { setTimeout as delay } from 'node:timers/promises';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ChildProcess } from 'node:child_process';
import type { Node } from '../../protocol/api/nodes.ts';
import { Board, type BoardOptions } from './board.ts';
import { ControllerProcess } from './controller-process.ts';
import { ubootEnvironment, type Firmware } from './firmware.ts';
import { RackNetwork } from './rack-network.ts';
import { endProcess, runTied, startTied, type Output } from './tied-process.ts';

const rootDir = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Where set-up put the images; it hands on where that is. */
export const defaultCacheDir = process.env['MUSTER_CACHE'] ?? join(rootDir, '.cache');

export type RackOptions = {
  /** Names the folder of the run's artefacts. */
  name: string;
  /** How many boards of each firmware. They are numbered from 1, one of each kind in turn: 1 U-Boot, 2 UEFI, 3 UEFI HTTP. */
  uboot?: number;
  uefi?: number;
  uefiHttp?: number;
  /** The boot method of U-Boot boards; `ipxe` when left out. */
  bootMethod?: 'ipxe' | 'pxelinux';
  /** Leave the boards off until `powerOn()`. */
  off?: boolean;
  memoryMb?: number;
  cores?: number;
  icount?: boolean;
  /** The operators' port on 127.0.0.1; 0, the default, takes a free one. */
  port?: number;
  /** Kept between runs; a temporary one that goes with the rack when left out. */
  stateDir?: string;
  cacheDir?: string;
  /** More flags of `muster up`. */
  controllerFlags?: readonly string[];
};

export async function virtualRack(options: RackOptions): Promise<VirtualRack> {
  await using stack = new AsyncDisposableStack();
  const kinds = order(options);
  const cacheDir = options.cacheDir ?? defaultCacheDir;
  const artefactsDir = join(rootDir, 'artefacts', options.name);
  await rm(artefactsDir, { recursive: true, force: true });
  await mkdir(artefactsDir, { recursive: true });
  const stateDir = options.stateDir ?? (await mkdtemp(join(tmpdir(), 'muster-rack-')));
  if (options.stateDir === undefined) stack.defer(() => rm(stateDir, { recursive: true, force: true }));

  const network = stack.use(await RackNetwork.create({ boards: kinds.length, port: options.port ?? 0 }));
  const capture = await startCapture(network, join(artefactsDir, 'br0.pcap'));
  stack.defer(() => endProcess(capture, 'SIGTERM'));
  const method = options.bootMethod === undefined ? [] : ['--uboot', options.bootMethod];
  const controller = stack.use(
    new ControllerProcess({
      network,
      stateDir,
      cacheDir,
      logPath: join(artefactsDir, 'controller.log'),
      flags: [...method, ...(options.controllerFlags ?? [])],
    }),
  );
  await controller.start();

  const environmentImage = kinds.includes('uboot') ? await ubootEnvironment(cacheDir) : '';
  const nodes = kinds.map((firmware, i) =>
    stack.use(
      new RackNode({
        controller,
        artefactsDir,
        firmware,
        network,
        environmentImage,
        serialPath: join(artefactsDir, `serial-${i + 1}.log`),
        machine: {
          mac: `52:54:00:c2:00:${(i + 1).toString(16).padStart(2, '0')}`,
          tap: `tap${i + 1}`,
          memoryMb: options.memoryMb ?? boardMemoryMb(kinds.length),
          cores: options.cores ?? 1,
          icount: options.icount ?? false,
        },
      }),
    ),
  );
  if (options.off !== true) for (const node of nodes) await node.powerOn();
  return new VirtualRack({ network, controller, nodes, artefactsDir, stack: stack.move() });
}

/** One board of each kind in turn, so that the first two of a mixed rack are U-Boot and UEFI. */
function order({ uboot = 0, uefi = 0, uefiHttp = 0 }: RackOptions): Firmware[] {
  const left: [Firmware, number][] = [
    ['uboot', uboot],
    ['uefi', uefi],
    ['uefi-http', uefiHttp],
  ];
  const most = Math.max(uboot, uefi, uefiHttp);
  return Array.from({ length: most }, (_, turn) =>
    left.filter(([, count]) => turn < count).map(([kind]) => kind),
  ).flat();
}

/** A C2's 2 GB while the machine has room for it, else what is left, shared. */
function boardMemoryMb(boards: number): number {
  const shareMb = (totalmem() / 2 ** 20 / 2 / Math.max(1, boards)) | 0;
  return Math.max(512, Math.min(2048, shareMb));
}

async function startCapture(network: RackNetwork, path: string): Promise<ChildProcess> {
  // The images that boards fetch would make it gigabytes: of what we serve by HTTP only the headers' packets are kept.
  const filter = 'not (tcp src port 8480 and greater 700)';
  const argv = ['tcpdump', '-i', 'br0', '-U', '-Z', 'root', '-s', '2000', '-w', path, filter];
  const capture = await startTied(network.inside(argv), { stdio: ['ignore', 'ignore', 'pipe'] });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let said = '';
  capture.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2_000);
    if (said.includes('listening on')) resolve();
  });
  capture.once('exit', () => reject(new Error(`tcpdump ended: ${said.trim()}`)));
  await promise;
  return capture;
}

/** What a board of a rack knows of it. */
interface RackOfNode {
  controller: ControllerProcess;
  artefactsDir: string;
}

export class RackNode extends Board {
  readonly #controller: ControllerProcess;
  readonly #artefactsDir: string;

  constructor({ controller, artefactsDir, ...board }: BoardOptions & RackOfNode) {
    super(board);
    this.#controller = controller;
    this.#artefactsDir = artefactsDir;
  }

  /** As the controller sees it; undefined until it has heard of the board. */
  async seen(): Promise<Node | undefined> {
    return (await this.#controller.nodes()).find(({ mac }) => mac === this.mac);
  }

  /** Waits until the controller says that the board is ready to work. */
  ready(options: { timeoutMs?: number } = {}): Promise<Node> {
    return this.until((node) => node.state === 'ready', { what: 'ready', ...options });
  }

  /** Waits until the controller's view of the board fits; rejects with the last view and the serial line's last words. */
  async until(
    fits: (node: Node) => boolean,
    { what, timeoutMs = 150_000 }: { what: string; timeoutMs?: number },
  ): Promise<Node> {
    const deadline = performance.now() + timeoutMs;
    let latest = 'never seen';
    while (performance.now() < deadline) {
      try {
        const node = await this.seen();
        if (node !== undefined && fits(node)) return node;
        if (node !== undefined) latest = `${node.state} (${node.reason}), stage ${node.stage}`;
      } catch (error) {
        latest = `no answer from the controller: ${String(error)}`; // it may be restarting; the deadline bounds that
      }
      await delay(100);
    }
    throw new Error(
      `board ${this.mac} is not ${what} after ${timeoutMs / 1000} s: ${latest}; ${this.serial.tail()}\n` +
        `  see ${relative(rootDir, this.#artefactsDir)}/`,
    );
  }

  /** Its address in the rack's network. Throws while it has none. */
  async ip(): Promise<string> {
    const node = await this.seen();
    if (node?.ip == null) throw new Error(`board ${this.mac} has no address yet`);
    return node.ip;
  }
}

export class VirtualRack implements AsyncDisposable {
  readonly network: RackNetwork;
  readonly controller: ControllerProcess;
  readonly nodes: readonly RackNode[];
  readonly artefactsDir: string;
  readonly #stack: AsyncDisposableStack;

  constructor(parts: {
    network: RackNetwork;
    controller: ControllerProcess;
    nodes: readonly RackNode[];
    artefactsDir: string;
    stack: AsyncDisposableStack;
  }) {
    this.network = parts.network;
    this.controller = parts.controller;
    this.nodes = parts.nodes;
    this.artefactsDir = parts.artefactsDir;
    this.#stack = parts.stack;
  }

  /** The board with that number, from 1. */
  node(number: number): RackNode {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new Error(`there is no board ${number}, want 1 to ${this.nodes.length}`);
    return node;
  }

  async allReady(options: { timeoutMs?: number } = {}): Promise<Node[]> {
    return Promise.all(this.nodes.map((node) => node.ready(options)));
  }

  /** Runs a shell command in the rack's network. */
  exec(command: string, options: { timeoutMs?: number } = {}): Promise<Output> {
    return this.network.exec(['sh', '-c', command], options);
  }

  /** Fetches a URL from inside the rack's network, as a customer's neighbour would. Throws when there is no answer. */
  async fetch(
    url: string,
    { timeoutMs = 5_000 }: { timeoutMs?: number } = {},
  ): Promise<{ status: number; body: string }> {
    const script = `const r = await fetch(process.argv[1], { signal: AbortSignal.timeout(${timeoutMs}) });
      console.log(JSON.stringify({ status: r.status, body: await r.text() }))`;
    const output = await this.network.exec([process.execPath, '--input-type=module', '-e', script, url], {
      timeoutMs: timeoutMs + 5_000,
    });
    if (output.code !== 0)
      throw new Error(`no answer from ${url}: ${/^.*Error.*$/m.exec(output.stderr)?.[0] ?? 'none'}`);
    const answer: { status: number; body: string } = JSON.parse(output.stdout);
    return answer;
  }

  /** Runs `muster …` against this rack's controller; `words` is split at spaces. */
  async cli(words: string, { timeoutMs = 60_000 }: { timeoutMs?: number } = {}): Promise<Output> {
    const program = join(rootDir, 'cli/main.ts');
    const environment = [`MUSTER_URL=${this.controller.url}`, `MUSTER_TOKEN=${await this.controller.token()}`];
    return runTied(['env', ...environment, process.execPath, program, ...words.split(' ')], { timeoutMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
