// One life of a board's agent: the real permit loop (agent/roll-call/), the real fetching of the desired state
// (agent/api/desired-state.ts) and the real lines for the leash (agent/roll-call/leash.ts) on a simulated machine, with a
// stand-in for joining and for the container runtime.
import { createSecretKey } from 'node:crypto';
import type { Desired, JoinAnswer } from '../../protocol/api/agent.ts';
import type { CustomerLoad } from '../../protocol/roll-call.ts';
import { rollCallPort } from '../../protocol/timing.ts';
import type { Stop, StopReason } from '../../agent/containers/runtime.ts';
import { agentSession } from '../../agent/agent-session.ts';
import type { ControllerResponse } from '../../agent/api/controller-client.ts';
import { desiredState } from '../../agent/api/desired-state.ts';
import { leashChunks } from '../../agent/roll-call/leash.ts';
import type { DatagramSocket, Machine } from '../../agent/machine.ts';
import { startRollCall, type RollCall, type RollCallOptions } from '../../agent/roll-call/roll-call.ts';
import type { Call, CallingBoard, ControllerLife, ControllerWorld } from './controller-life.ts';
import type { Datagram } from './network.ts';
import { Program } from './program.ts';

/** Linux's default receive buffer holds about so many small datagrams. */
const socketDatagrams = 160;
const controllerAddress = '10.77.0.1';

/** The board that an agent lives on. */
export interface AgentBoard extends CallingBoard {
  readonly world: AgentWorld;
  readonly groups: ReadonlyMap<string, { customer: string; running: boolean; dying: boolean; forbidden: boolean }>;
  saved: CallingBoard['saved'];
  tell(what: string): void;
  uptimeMs(): number;
  writeLeash(chunks: string[]): void;
  isPopulated(customer: string): boolean;
  start(customer: string): void;
  kill(customer: string, options: { by: string }): void;
  whenEmpty(customer: string): Promise<void>;
}

/** What an agent runs in, beyond its board. */
export interface AgentWorld extends Pick<ControllerWorld, 'timeline' | 'random' | 'network' | 'referee' | 'broken'> {
  readonly controller: ControllerLife | undefined;
  callFrom<T>(program: Program, call: Call<T> & { board: CallingBoard }): void;
}

export class AgentLife {
  readonly program: Program;
  readonly #board: AgentBoard;
  readonly #allowed = new Set<string>();
  readonly #stopping = new Map<string, Stop>();
  /** Milliseconds on its own clock at the start of its life: no two programs' clocks agree. */
  readonly #clockOffset: number;
  #rollCall: RollCall | undefined;
  #instances: Desired['instances'] = [];
  #joinPauseMs = 500;
  #lastNonce = '';
  /** A nonce is drawn: the next look at the clock is the moment that permits count from. */
  #isCalling = false;
  #receive: ((datagram: Datagram, port: number | undefined) => void) | undefined;

  constructor(board: AgentBoard) {
    this.#board = board;
    this.program = new Program(board.world.timeline, socketDatagrams);
    this.#clockOffset = board.world.timeline.now - board.world.random.between(100, 500);
    board.tell('agent starts');
    this.#join();
  }

  kill(): void {
    this.program.kill();
  }

  /** A datagram for this board's address. */
  arrive(datagram: Datagram, port: number): void {
    this.program.post(() => this.#receive?.(datagram, port));
  }

  /** From somebody who forges the controller's address and found the port. */
  arriveAnywhere(datagram: Datagram): void {
    this.program.post(() => this.#receive?.(datagram, undefined));
  }

  #join(): void {
    const board = this.#board;
    board.world.callFrom(this.program, {
      board,
      ask: async (controller) => controller.join(board),
      done: (answer) => {
        if (answer !== undefined && !('refused' in answer)) return this.#joined(answer);
        if (answer !== undefined) board.tell(`join refused: ${answer.refused}`);
        this.program.later(() => this.#join(), this.#joinPauseMs * board.world.random.between(0.5, 1));
        this.#joinPauseMs = Math.min(15_000, 2 * this.#joinPauseMs);
      },
    });
  }

  #joined(answer: JoinAnswer): void {
    const board = this.#board;
    if (board.saved?.answer.session !== answer.session) {
      board.saved = { answer, key: createSecretKey(Buffer.from(answer.key, 'hex')) };
      board.world.referee.newSession(board, answer.session);
    }
    board.tell(`agent calls, session ${answer.session.slice(0, 8)}`);
    board.world.referee.newAgent(board);
    const desired = desiredState({
      client: { call: () => this.#fetchDesired(answer.session) },
      mac: board.mac,
      session: () => agentSession(answer),
      apply: (wanted) => this.#apply(wanted),
      log: (text) => board.tell(text),
      random: () => board.world.random.between(0, 1),
      wait: (ms) => this.program.sleep(ms),
    });
    this.#rollCall = startRollCall({
      controller: { host: controllerAddress, port: rollCallPort },
      session: agentSession(answer),
      runtime: this.#runtime(),
      vouch: (vouches) => {
        const clock = { nowMs: this.#now(), uptimeSeconds: board.uptimeMs() / 1_000 };
        for (const { customer, untilMs } of vouches)
          board.world.referee.vouched(board, {
            customer,
            untilMs: untilMs === 0 ? 0 : untilMs + this.#clockOffset,
          });
        board.writeLeash(leashChunks(vouches, clock));
      },
      appliedGeneration: () => desired.applied(),
      onGeneration: (generation) => desired.want(generation),
      log: (text) => board.tell(text),
      machine: this.#machine(),
    });
  }

  #fetchDesired(session: string): Promise<ControllerResponse> {
    const board = this.#board;
    return new Promise((resolve, reject) =>
      board.world.callFrom(this.program, {
        board,
        ask: (controller) => Promise.resolve(controller.desired(board.mac, session)),
        done: (desired) => {
          if (desired === undefined) reject(new Error('no answer'));
          else resolve({ status: 200, body: Buffer.from(JSON.stringify(desired)) });
        },
      }),
    );
  }

  /** Alive, awake, and far enough to keep held customers running. */
  get isVouching(): boolean {
    return this.isCalling && !this.program.isFrozen && !this.program.isDead;
  }

  get isCalling(): boolean {
    return this.#rollCall !== undefined;
  }

  // ---- the container runtime's decisions, without containers

  #apply({ instances }: Desired): void {
    this.#instances = instances;
    for (const customer of this.#allowed) this.#startWanted(customer);
    const wanted = new Set(instances.map(({ customer }) => customer));
    for (const { customer, running, dying } of this.#board.groups.values())
      if (running && !dying && !wanted.has(customer)) this.#stop(customer);
  }

  #startWanted(customer: string): void {
    if (this.#instances.some((instance) => instance.customer === customer)) this.#board.start(customer);
  }

  #runtime(): RollCallOptions['runtime'] {
    const board = this.#board;
    return {
      allowCustomer: (customer) => {
        board.world.referee.allowed(board, customer);
        if (this.#stopping.has(customer)) return;
        const group = board.groups.get(customer);
        if (group !== undefined) group.forbidden = false;
        this.#allowed.add(customer);
        this.#startWanted(customer);
      },
      stopCustomer: (customer) => this.#stop(customer),
      stopEverything: (reason) => this.#stopEverything(reason),
      isStopping: (customer) => this.#stopping.has(customer),
      loads: (): CustomerLoad[] =>
        Array.from(board.groups.values(), ({ customer, running }) => ({
          customer,
          instances: running ? 1 : 0,
          processes: running ? 3 : 0,
        })),
    };
  }

  #stop(customer: string): Stop {
    const board = this.#board;
    this.#allowed.delete(customer);
    const processes = board.isPopulated(customer) ? 3 : 0;
    board.kill(customer, { by: 'agent' });
    const underWay = this.#stopping.get(customer);
    if (underWay !== undefined) return underWay;
    const at = this.#now();
    const empty = board.world.broken.receiptsAtOnce === true ? Promise.resolve() : board.whenEmpty(customer);
    const gone = empty
      // It looks every few ms.
      .then(() => this.program.sleep(board.world.random.between(1, 20)))
      .then(() => {
        this.#stopping.delete(customer);
        return { afterMs: this.#now() - at };
      });
    const stop = { processes, gone };
    this.#stopping.set(customer, stop);
    return stop;
  }

  #stopEverything(_reason: StopReason): Stop {
    const at = this.#now();
    const stops = [...new Set([...this.#board.groups.keys(), ...this.#allowed])].map((customer) =>
      this.#stop(customer),
    );
    return {
      processes: stops.reduce((sum, { processes }) => sum + processes, 0),
      gone: Promise.all(stops.map(({ gone }) => gone)).then(() => ({ afterMs: this.#now() - at })),
    };
  }

  // ---- the machine

  #now(): number {
    const { countsLateMs } = this.#board.world.broken;
    const lateMs = this.#isCalling && countsLateMs !== undefined ? countsLateMs : 0;
    this.#isCalling = false;
    return this.#board.world.timeline.now - this.#clockOffset + lateMs;
  }

  #machine(): Machine {
    const { world } = this.#board;
    return {
      now: () => this.#now(),
      uptimeSeconds: () => this.#board.uptimeMs() / 1_000,
      load: () => 0.5,
      randomBytes: (length) => {
        const bytes = world.random.bytes(length);
        this.#lastNonce = bytes.toString('hex');
        this.#isCalling = true;
        return bytes;
      },
      later: (callback, ms) => this.program.later(callback, ms),
      openSocket: () => this.#openSocket(),
    };
  }

  #openSocket(): DatagramSocket {
    const board = this.#board;
    const { world } = board;
    const ownPort = 32_768 + world.random.integer(28_000);
    let onMessage: ((bytes: Buffer) => void) | undefined;
    const receive = (datagram: Datagram, port: number | undefined): void => {
      if ((port ?? ownPort) !== ownPort || onMessage === undefined) return;
      world.referee.read(board, datagram);
      onMessage(datagram.bytes);
    };
    this.#receive = receive;
    return {
      on: (event: string, listener: ((bytes: Buffer) => void) | ((error: Error) => void)) => {
        if (event === 'message') onMessage = listener as (bytes: Buffer) => void; // by the event's name
      },
      // oxlint-disable-next-line max-params -- as a socket of node:dgram has it
      connect: (_port, _host, callback) => void this.program.later(() => callback(), 0),
      send: (bytes) => {
        world.referee.nonceSent(board, this.#lastNonce);
        const from = { address: board.address, port: ownPort };
        const sending = { board: board.index, direction: 'up', bytes: Buffer.from(bytes) } as const;
        world.network.send(sending, {
          deliver: (datagram) => world.controller?.arrive(datagram, from),
          astray: (datagram) => world.controller?.arrive(datagram, { address: '10.77.9.9', port: ownPort }),
        });
      },
      close: () => {
        if (this.#receive === receive) this.#receive = undefined;
        onMessage = undefined;
      },
    };
  }
}
