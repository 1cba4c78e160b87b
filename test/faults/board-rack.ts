// Two boards in QEMU with the real controller, on each of them one container of `acme`, which is killed, and one of `bolt`,
// which must not notice. What happens on a board is told by two observers that believe nobody:
//
//   the customers' processes, which say to the host that they run (`ticks.ts`)
//   the watcher on the board, which looks at the control group and prints on the serial console (`board-scripts.ts`)
//
// Gone is what both call gone, and the later of both moments counts.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Type, type Static, type TSchema } from 'typebox';
import { Customer } from '../../protocol/api/customers.ts';
import { Instance } from '../../protocol/api/instances.ts';
import type { Node } from '../../protocol/api/nodes.ts';
import { Workload, type WorkloadSpec } from '../../protocol/api/workloads.ts';
import { until } from '../until.ts';
import { defaultCacheDir, virtualRack, type RackNode, type VirtualRack } from '../qemu/rack.ts';
import { handsPriority, orderly, startWatcher, watcher, watchLine } from './board-scripts.ts';
import { BoardShell } from './board-shell.ts';
import { Ticks } from './ticks.ts';

export const killed = 'acme';
export const bystander = 'bolt';

const bootLimitMs = 600_000;
const changeLimitMs = 180_000;
/** Enough to see that it runs, not only that it began. */
const enoughTicks = 5;
const workload = 'tick';
/** Of an orderly container; what is left of its customer's limit is the misbehaving one's. */
const processes = 16;

/** What the watcher said of one control group since the board started. */
interface Group {
  populated: boolean;
  /** When it said that last, on the clock of `performance.now()`. */
  changedMs: number;
}

interface BoardOptions {
  rack: VirtualRack;
  keyFile: string;
  watchEverySeconds: number;
}

/** One board, and what the watcher on it saw. */
export class DrillBoard {
  readonly node: RackNode;
  readonly #rack: VirtualRack;
  readonly #keyFile: string;
  readonly #watchEverySeconds: number;
  readonly #groups = new Map<string, Group>();
  /** When the watcher was kept from looking, and how long. */
  readonly late: { atMs: number; ms: number }[] = [];
  #shell: BoardShell | undefined;
  ip = '';
  bootId: string | null = null;

  constructor(node: RackNode, { rack, keyFile, watchEverySeconds }: BoardOptions) {
    this.#watchEverySeconds = watchEverySeconds;
    this.node = node;
    this.#rack = rack;
    this.#keyFile = keyFile;
    node.serial.follow((line) => this.#read(line));
  }

  /** Waits for a start of the board that was not watched yet, opens a shell there and starts the watcher. */
  async watch(): Promise<void> {
    const isNew = (node: Node): boolean => node.state === 'ready' && node.bootId !== this.bootId;
    const { bootId } = await this.node.until(isNew, { what: 'ready after its start', timeoutMs: bootLimitMs });
    await this.#shell?.[Symbol.asyncDispose]();
    this.bootId = bootId;
    this.ip = await this.node.ip();
    this.#shell = await BoardShell.open({ network: this.#rack.network, ip: this.ip, keyFile: this.#keyFile });
    this.#groups.clear();
    await this.run(watcher(this.#watchEverySeconds));
    for (const customer of [killed, bystander]) this.send(startWatcher(customer));
    await untilOnBoards(`the watcher of ${this.ip}`, () => this.#groups.size === 2);
    await untilOnBoards(`the leash's hand of ${this.ip}`, async () => (await this.run(handsPriority)).trim() === '-20');
  }

  run(command: string): Promise<string> {
    return this.#open().run(command);
  }

  send(line: string): void {
    this.#open().send(line);
  }

  group(customer: string): Group {
    const group = this.#groups.get(customer);
    if (group === undefined) throw new Error(`the watcher of ${this.ip} says nothing of ${customer}`);
    return group;
  }

  waitedMs(): Promise<number> {
    return this.node.waitedMs();
  }

  /** When the board was reset after that moment; undefined where it was not. */
  resetMs(afterMs: number): number | undefined {
    return this.node.events.find(({ event, atMs }) => event === 'RESET' && atMs > afterMs)?.atMs;
  }

  #open(): BoardShell {
    if (this.#shell === undefined) throw new Error(`no shell on ${this.ip} yet`);
    return this.#shell;
  }

  #read(line: string): void {
    const [, customer, what, value] = watchLine.exec(line) ?? [];
    if (customer === undefined) return;
    const atMs = performance.now();
    if (what === 'late') this.late.push({ atMs, ms: Number(value) });
    else this.#groups.set(customer, { populated: value === '1', changedMs: atMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shell?.[Symbol.asyncDispose]();
  }
}

/** For one container on each board. */
const spreadWithinMs = 180_000;

export class BoardRack implements AsyncDisposable {
  readonly rack: VirtualRack;
  readonly boards: readonly DrillBoard[];
  readonly ticks: Ticks;
  /** How long the controller was away last: permits bridge some two seconds of it, and not what a slow machine adds. */
  readonly away: { ms: number };
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: Pick<BoardRack, 'rack' | 'boards' | 'ticks' | 'away'>, stack: AsyncDisposableStack) {
    this.rack = parts.rack;
    this.boards = parts.boards;
    this.ticks = parts.ticks;
    this.away = parts.away;
    this.#stack = stack;
  }

  /** `watchEverySeconds`: how exact the end of a group is known. At 0.02 two watchers cost a slow emulated board most of its time. */
  static async open({
    print,
    watchEverySeconds = 0.02,
  }: {
    print: (line: string) => void;
    watchEverySeconds?: number;
  }): Promise<BoardRack> {
    await using stack = new AsyncDisposableStack();
    const stateDir = await mkdtemp(join(tmpdir(), 'muster-faults-'));
    stack.defer(() => rm(stateDir, { recursive: true, force: true }));
    const rack = stack.use(
      await virtualRack({
        name: 'faults-qemu',
        uboot: 1,
        uefi: 1,
        stateDir,
        controllerFlags: ['--gateway', '10.77.0.1'],
      }),
    );
    const over = new AbortController();
    const away = { ms: 0 };
    const supervised = rack.controller.supervise({
      signal: over.signal,
      restarted: (how, awayMs) => {
        away.ms = awayMs;
        print(`controller ended (${how}), back after ${Math.round(awayMs)} ms`);
      },
    });
    stack.defer(async () => {
      over.abort();
      await supervised;
    });
    supervised.catch((error: unknown) => print(String(error))); // and all that waits for the controller says so too
    const ticks = stack.use(await Ticks.listen(rack.network));
    print('waiting for two boards');
    const keyFile = join(stateDir, 'ssh-key');
    const boards = rack.nodes.map((node) => stack.use(new DrillBoard(node, { rack, keyFile, watchEverySeconds })));
    await Promise.all(boards.map((board) => board.watch()));
    const drill = new BoardRack({ rack, boards, ticks, away }, stack.move());
    const { code, stderr } = await rack.cli(
      `image import ${join(defaultCacheDir, 'samples/current/web.tar')} --name web`,
    );
    if (code !== 0) throw new Error(`cannot import the sample image: ${stderr}`);
    for (const name of [killed, bystander]) {
      await rack.controller.api('POST /v1/customers', { name });
      await drill.spread(name);
    }
    await drill.allRun();
    return drill;
  }

  /** One container of the customer on each board, placed anew where that is not so. */
  async spread(customer: string): Promise<void> {
    // A board that starves for seconds is silent meanwhile, and nothing is placed on it.
    for (const giveUpMs = performance.now() + spreadWithinMs; performance.now() < giveUpMs; await delay(1_000)) {
      await this.rack.allReady();
      const instances = await this.instances(customer, workload);
      const places = new Set(instances.map(({ node }) => node));
      if (instances.length === this.boards.length && places.size === this.boards.length) return;
      if (instances.length > 0) await this.remove(customer, workload);
      await this.put({ customer, name: workload }, { command: ['/bin/sh', '-c', orderly] });
      await untilOnBoards(`${customer} to be placed`, async () => {
        return (await this.instances(customer, workload)).length === this.boards.length;
      });
    }
    throw new Error(`cannot place one container of ${customer} on each board`);
  }

  /** One container of it a board, if nothing else is said. */
  async put({ customer, name }: { customer: string; name: string }, spec: Partial<WorkloadSpec>): Promise<void> {
    const whole = { image: 'web', replicas: this.boards.length, processes, ...spec };
    await this.rack.controller.api(`PUT /v1/workloads/${customer}/${name}`, whole);
  }

  /** Removes the workload, if there is one, and waits until nothing of it is left. */
  async remove(customer: string, name: string): Promise<void> {
    const { workloads } = await this.#answer('/v1/workloads', Type.Object({ workloads: Type.Array(Workload) }));
    if (!workloads.some((each) => each.customer === customer && each.name === name)) return;
    await this.rack.controller.api(`DELETE /v1/workloads/${customer}/${name}`);
    await untilOnBoards(`${customer}/${name} to go`, async () => (await this.instances(customer, name)).length === 0);
  }

  async instances(customer: string, name: string): Promise<Instance[]> {
    const answer = Type.Object({ instances: Type.Array(Instance) });
    const { instances } = await this.rack.controller.get(`/v1/instances?customer=${customer}`, answer);
    return instances.filter((instance) => instance.workload === name);
  }

  /** Waits until both customers say on each board that they run, and forgets what they said before. */
  async allRun(customers: readonly string[] = [killed, bystander]): Promise<void> {
    this.ticks.forget();
    for (const board of this.boards)
      for (const customer of customers) {
        const runs = (): boolean =>
          this.ticks.of(board.ip, customer).some(({ ticks }) => ticks >= enoughTicks) &&
          board.group(customer).populated;
        await untilOnBoards(`${customer} to run on ${board.ip}`, runs);
      }
    this.ticks.forget();
  }

  /** When the answer to the order was there. */
  async kill(): Promise<number> {
    await this.rack.controller.api('POST /v1/kill', { customer: killed, reason: 'drill of single faults' });
    return performance.now();
  }

  /** Lifts the order, if one stands. */
  async lift(): Promise<void> {
    const { customers } = await this.#answer('/v1/customers', Type.Object({ customers: Type.Array(Customer) }));
    if (!customers.some(({ name, killedBy }) => name === killed && killedBy !== null)) return;
    await this.rack.controller.api('POST /v1/lift', { customer: killed, reason: 'drill is over' });
  }

  /** As the controller's `get`, as soon as there is a controller. */
  async #answer<T extends TSchema>(path: string, schema: T): Promise<Static<T>> {
    let answer: Static<T> | undefined;
    await untilOnBoards(`an answer to ${path}`, async () => {
      try {
        answer = await this.rack.controller.get(path, schema);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // no connection: it starts again
      }
      return answer !== undefined;
    });
    if (answer === undefined) throw new Error(`no answer to ${path}`);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** As `until`, with the time that an emulated board may take. */
// oxlint-disable-next-line max-params -- as `until`
export function untilOnBoards(
  what: string,
  holds: () => boolean | Promise<boolean>,
  options: { withinMs?: number; detail?: () => string } = {},
): Promise<void> {
  return until(what, holds, { withinMs: changeLimitMs, everyMs: 20, ...options });
}
