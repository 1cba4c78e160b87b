// One life of the controller: the real inventory on a store in memory, the real roll call with its pursuit, the real way to
// a kill order, the real scheduler's plan. What is simulated is the process, its socket, its disk and its clock.
import { type KeyObject, createSecretKey } from 'node:crypto';
import { giveKillOrder, liftKillOrder } from '../../controller/kill/kill-order.ts';
import { startRollCall, type RollCall } from '../../controller/kill/roll-call/roll-call.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import { openInventoryOn, type Inventory } from '../../inventory/inventory.ts';
import type { Refused } from '../../inventory/refused.ts';
import type { LocalTables } from '../../inventory/samples/local-tables.ts';
import { type MemoryDisk, openMemoryStore } from '../../inventory/store/memory-store.ts';
import { type Store, StorageError, type Write } from '../../inventory/store/store.ts';
import { sessionProof } from '../../protocol/agent-authorization.ts';
import type { Desired, JoinAnswer, JoinRequest } from '../../protocol/api/agent.ts';
import { decodePermit } from '../../protocol/roll-call.ts';
import { killResendMs } from '../../protocol/timing.ts';
import { execute } from '../../scheduler/execute.ts';
import { plan } from '../../scheduler/plan.ts';
import { readWorld } from '../../scheduler/world.ts';
import type { Broken } from './broken.ts';
import type { Datagram, Network } from './network.ts';
import { Program } from './program.ts';
import type { Random } from './random.ts';
import type { JudgedBoard, Referee } from './referee.ts';
import type { Timeline } from './timeline.ts';

const sweepIntervalMs = 250;
const schedulerIntervalMs = 1_000;
/** boot/sockets.pl asks for 4 MB: so many datagrams with their bookkeeping. */
const socketDatagrams = 4_000;

type Receive = (bytes: Buffer, from: { address: string; port: number }) => void;

/** A board as its controller meets it: it joins, and datagrams reach its agent. */
export interface CallingBoard extends JudgedBoard {
  readonly index: number;
  readonly address: string;
  readonly bootId: string;
  readonly token: string | undefined;
  readonly saved: { answer: JoinAnswer; key: KeyObject } | undefined;
  readonly agent:
    | { isVouching: boolean; arrive(datagram: Datagram, port: number): void; arriveAnywhere(datagram: Datagram): void }
    | undefined;
}

/** What is asked of the controller over TCP, and what becomes of the answer: undefined where there was none in time. */
export interface Call<T> {
  ask: (controller: ControllerLife) => Promise<T>;
  done: (answer: T | undefined) => void;
}

/** What a controller runs in. */
export interface ControllerWorld {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly network: Network;
  readonly referee: Referee;
  readonly broken: Broken;
  readonly disk: { isFull: boolean; extraMs: number };
  readonly boards: readonly CallingBoard[];
  wallClock(): number;
}

export class ControllerLife {
  readonly program: Program;
  readonly #world: ControllerWorld;
  readonly #disk: MemoryDisk;
  #pending: Write[] | undefined;
  #rooms: { inventory: Inventory; rollCall: RollCall } | undefined;
  #receive: Receive | undefined;
  #lastSentMs = 0;

  constructor(world: ControllerWorld, disk: MemoryDisk) {
    this.#world = world;
    this.#disk = disk;
    this.program = new Program(world.timeline, socketDatagrams);
  }

  get inventory(): Inventory | undefined {
    return this.#rooms?.inventory;
  }

  async start(): Promise<void> {
    const { timeline, random } = this.#world;
    await this.program.sleep(random.between(200, 900));
    const inventory = await openInventoryOn({
      openStore: () => Promise.resolve(this.#store()),
      openTables: () => Promise.resolve(this.#tables()),
      now: () => this.#world.wallClock(),
      random: (bytes) => random.bytes(bytes),
      pause: (ms) => this.program.sleep(ms),
    });
    const { referee } = this.#world;
    const watched: Inventory = {
      ...inventory,
      nodes: { ...inventory.nodes },
      orders: {
        ...inventory.orders,
        saveReceipt: (stopped) => {
          const { number, mac, receipt } = stopped;
          referee.counted(inventory.orders.get(number), { mac, evidence: receipt.evidence });
          return inventory.orders.saveReceipt(stopped);
        },
      },
    };
    if (this.#world.broken.permitsKilled === true) forgetOrders(watched, inventory);
    const onFailure = (error: unknown): void => timeline.tell('controller', `cannot keep a change: ${String(error)}`);
    const startedAt = timeline.now;
    let heardEarlierMs = 0;
    const now = (): number => timeline.now - startedAt - heardEarlierMs;
    const rollCall = startRollCall({
      socket: {
        on: (_event, listener) => {
          this.#receive = (bytes, from) => {
            heardEarlierMs = this.#world.broken.heardEarlierMs ?? 0;
            listener(bytes, from);
            heardEarlierMs = 0;
          };
        },
        // oxlint-disable-next-line max-params -- as a socket of node:dgram has it
        send: (bytes, port, address) => this.#send(inventory, { bytes: Buffer.from(bytes), port, address }),
      },
      inventory: watched,
      now,
      wallClock: () => this.#world.wallClock(),
      nextTurn: () => this.program.nextTurn(),
      onFailure,
    });
    this.program.every(killResendMs, () => void rollCall.pursue().catch(onFailure));
    this.program.every(sweepIntervalMs, () => void inventory.nodes.sweep(now()).catch(onFailure));
    this.program.every(schedulerIntervalMs, () => void this.#schedule(inventory).catch(onFailure));
    this.#rooms = { inventory, rollCall };
    timeline.tell('controller', `up, epoch ${inventory.epoch}`);
  }

  /** As by SIGKILL. A transaction under way is on disk or it is not. */
  kill(): void {
    this.#world.timeline.tell('controller', 'killed');
    this.program.kill();
    this.#rooms = undefined;
    const pending = this.#pending;
    if (pending === undefined || this.#world.random.chance(0.5)) return;
    openMemoryStore(this.#disk)
      .transact(pending)
      .catch(() => undefined);
    this.#world.timeline.tell('controller', 'its last transaction is on disk');
  }

  arrive({ bytes }: Datagram, from: { address: string; port: number }): void {
    this.program.post(() => this.#receive?.(bytes, from));
  }

  // ---- what boards and operators ask

  async ticketFor(mac: string): Promise<string | undefined> {
    const { inventory } = this.#open();
    await inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
    await inventory.nodes.bootStage({ mac, stage: 'script' });
    const ticket = await inventory.nodes.issueJoinToken(mac);
    return 'token' in ticket ? ticket.token : undefined;
  }

  /** As agent/api/join.ts asks: the session's proof first, then the token. */
  async join({ mac, bootId, saved, token, address }: CallingBoard): Promise<JoinAnswer | Refused> {
    const { inventory } = this.#open();
    const request = { mac, bootId, serial: null, agentVersion: '1', sshHostKey: null, facts };
    const proofs: Pick<JoinRequest, 'session' | 'token'>[] = token === undefined ? [] : [{ token }];
    if (saved !== undefined) {
      const { session, key } = saved.answer;
      proofs.unshift({ session: { id: session, proof: sessionProof(Buffer.from(key, 'hex'), { mac, bootId }) } });
    }
    let answer: JoinAnswer | Refused = { refused: 'neither token nor session' };
    for (const proof of proofs) {
      answer = await inventory.nodes.join({ ...request, ...proof }, address);
      if (!('refused' in answer)) break;
    }
    return answer;
  }

  desired(mac: string, session: string | undefined): Desired | undefined {
    const { inventory } = this.#open();
    return session !== undefined && inventory.nodes.session(session)?.mac === mac
      ? inventory.nodes.desired(mac)
      : undefined;
  }

  giveKill(scope: string, given: (order: OrderDocument) => void): Promise<OrderDocument | Refused> {
    return giveKillOrder(this.#open(), { scope, reason: 'simulated', by: 'operator', accepted: given });
  }

  lift(scope: string): Promise<OrderDocument | Refused> {
    return liftKillOrder(this.#open(), { scope, reason: 'simulated', by: 'operator' });
  }

  get isUp(): boolean {
    return this.#rooms !== undefined && !this.program.isDead;
  }

  #open(): { inventory: Inventory; rollCall: RollCall } {
    if (this.#rooms === undefined) throw new Error('the controller is not up yet');
    return this.#rooms;
  }

  async #schedule(inventory: Inventory): Promise<void> {
    await execute(inventory, plan(readWorld(inventory), this.#world.wallClock()));
  }

  #send(inventory: Inventory, { bytes, port, address }: { bytes: Buffer; port: number; address: string }): void {
    const { boards, referee, network, timeline } = this.#world;
    const board = boards.find((each) => each.address === address);
    if (board === undefined) return;
    // Sending takes time too: two datagrams never leave at one instant.
    this.#lastSentMs = Math.max(timeline.now, this.#lastSentMs + 0.005);
    const session = inventory.nodes.sessionOf(board.mac);
    if (session !== undefined) {
      const permit = decodePermit(bytes, this.#key(session));
      referee.sent(board, { inventory, permit });
    }
    const waitMs = this.#lastSentMs - timeline.now;
    const astray = boards[this.#world.random.integer(boards.length)] ?? board;
    timeline.after(waitMs, () =>
      network.send(
        { board: board.index, direction: 'down', bytes },
        {
          deliver: (datagram) => board.agent?.arrive(datagram, port),
          astray: (datagram) => astray.agent?.arriveAnywhere(datagram),
        },
      ),
    );
  }

  readonly #keys = new Map<string, KeyObject>();

  #key({ id, key }: { id: string; key: Buffer }): KeyObject {
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    const made = createSecretKey(key);
    this.#keys.set(id, made);
    return made;
  }

  #store(): Store {
    const { random, disk } = this.#world;
    const inner = openMemoryStore(this.#disk);
    return {
      get: (key) => inner.get(key),
      list: (prefix) => inner.list(prefix),
      watch: (watch) => inner.watch(watch),
      skipTo: (revision) => inner.skipTo(revision),
      copyTo: (file) => inner.copyTo(file),
      transact: async (writes) => {
        this.#pending = writes;
        try {
          await this.program.sleep(random.between(0.5, 4) + disk.extraMs);
          if (disk.isFull) throw new StorageError('cannot store: the disk is full');
        } finally {
          this.#pending = undefined;
        }
        const revision = await inner.transact(writes);
        await this.program.sleep(random.between(0, 0.5));
        return revision;
      },
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
  }

  #tables(): LocalTables {
    const { timeline } = this.#world;
    return {
      addEvent: ({ kind, subject, message }) => {
        if (kind !== 'instance') timeline.tell('controller', `${kind} ${subject}: ${message}`);
      },
      events: () => Promise.resolve([]),
      addSamples: () => undefined,
      latestSample: () => undefined,
      forgetSample: () => undefined,
      addLogs: () => undefined,
      logs: () => Promise.resolve({ lines: [], before: null, last: 0 }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
}

/** The roll call is told of no order. */
function forgetOrders(watched: Inventory, inventory: Inventory): void {
  watched.orders.standing = () => [];
  watched.nodes.permitted = (mac) => {
    const placed = new Set(inventory.instances.on(mac).map(({ customer }) => customer));
    return Array.from(placed, (customer) => ({ customer, hold: false }));
  };
}

const facts = { model: 'C2', cpu: 'A53', cores: 4, memoryBytes: 2 ** 31, kernel: '6.12', interfaces: [] };
