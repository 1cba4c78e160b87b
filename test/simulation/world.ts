// Everything of one run: time, wires, boards, the controller of the moment, its disk, and the referee.
import { MemoryDisk } from '../../inventory/store/memory-store.ts';
import { Board } from './board.ts';
import type { Broken } from './broken.ts';
import { type Call, type CallingBoard, ControllerLife } from './controller-life.ts';
import type { LeashNumbers } from './leash-numbers.ts';
import { fairWeather, Network } from './network.ts';
import type { Program } from './program.ts';
import type { Random } from './random.ts';
import { Referee } from './referee.ts';
import type { Timeline } from './timeline.ts';

export interface CustomerPlan {
  name: string;
  hold: boolean;
  /** Of the boards, 0 to 1. */
  share: number;
}

/** Agents give a call this long. */
const callDeadlineMs = 10_000;
const refusedMs = 5;
/** Of processes that can be killed: below the leash's patience. */
const slowestDeathMs = 750;

export class World {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly network: Network;
  readonly referee: Referee;
  readonly boards: Board[];
  readonly customers: CustomerPlan[];
  readonly leashNumbers: LeashNumbers;
  /** `extraMs` on top of every transaction. */
  readonly disk = { isFull: false, extraMs: 0 };
  controller: ControllerLife | undefined;
  /** The controller's wall clock was set by so much. */
  wallClockStepMs = 0;
  /** Nothing that happens in this run may stop anybody who is not ordered to stop, on boards that are not faulty. */
  isCalm = false;
  /** False once everything has healed: faults end, and none begins any more. */
  isIll = false;
  broken: Broken = {};
  /** Scopes that an operator is lifting: whether their orders stand is open. */
  readonly lifting = new Set<string>();
  /** Questions of operators that wait for their answer. */
  asked = 0;
  readonly #memoryDisk = new MemoryDisk();

  constructor(options: {
    timeline: Timeline;
    random: Random;
    boards: number;
    customers: CustomerPlan[];
    leashNumbers: LeashNumbers;
  }) {
    this.timeline = options.timeline;
    this.random = options.random.stream('world');
    this.customers = options.customers;
    this.leashNumbers = options.leashNumbers;
    this.network = new Network(this.timeline, options.random.stream('network'));
    this.referee = new Referee(this);
    this.boards = Array.from({ length: options.boards }, (_, index) => new Board(this, index));
  }

  wallClock(): number {
    return Math.floor(1_800_000_000_000 + this.timeline.now + this.wallClockStepMs);
  }

  holds(customer: string): boolean {
    return this.customers.some(({ name, hold }) => hold && name === customer);
  }

  mustNotStop(board: { isFaulty: boolean }, customer: string): boolean {
    return this.isCalm && !board.isFaulty && !this.holds(customer);
  }

  /** From the kill until the group is empty: mostly quick, at worst what does not yet cost the board. */
  killMs(): number {
    const { random, broken } = this;
    if (broken.killMs !== undefined) return broken.killMs;
    return random.chance(0.1) ? slowestDeathMs : random.between(1, random.chance(0.5) ? 50 : slowestDeathMs);
  }

  startController(): void {
    const life = new ControllerLife(this, this.#memoryDisk);
    this.controller = life;
    void life.start();
  }

  killController(): void {
    this.controller?.kill();
    this.controller = undefined;
  }

  /** In so many ms, unless everything has healed by then. */
  whileIll(ms: number, run: () => void): void {
    this.timeline.after(ms, () => {
      if (this.isIll) run();
    });
  }

  heal(): void {
    this.timeline.tell('world', 'everything heals');
    this.network.weather = fairWeather;
    this.disk.isFull = false;
    this.disk.extraMs = 0;
    for (const board of this.boards) {
      for (const direction of ['up', 'down'] as const) this.network.mend(board.index, direction);
      board.wake();
      if (board.agent?.program.isFrozen === true) board.agent.program.thaw();
    }
    if (this.controller === undefined) this.startController();
    else if (this.controller.program.isFrozen) this.controller.program.thaw();
  }

  /** A call of the board's system, in no particular program. */
  call<T>(board: CallingBoard, { ask, done }: Call<T>): void {
    this.#call(board, { ask, done: (answer) => this.timeline.after(0, () => done(answer)) });
  }

  /** A call of a program on the board, as agent/api/controller-client.ts makes it. Undefined: it failed. */
  callFrom<T>(program: Program, { board, ask, done }: Call<T> & { board: CallingBoard }): void {
    this.#call(board, { ask, done: (answer) => program.post(() => done(answer)) });
  }

  #call<T>(board: CallingBoard, { ask, done }: Call<T>): void {
    let isSettled = false;
    const settle = (answer: T | undefined): void => {
      if (isSettled) return;
      isSettled = true;
      done(answer);
    };
    this.timeline.after(callDeadlineMs, () => settle(undefined));
    const wholeMs = this.network.callMs(board.index);
    if (wholeMs === undefined) return;
    this.timeline.after(wholeMs / 2, () => {
      const { controller } = this;
      if (controller === undefined || !controller.isUp) {
        this.timeline.after(refusedMs, () => settle(undefined));
        return;
      }
      controller.program.post(() => {
        void ask(controller).then(
          (answer) =>
            this.timeline.after(wholeMs / 2, () => {
              if (!this.network.isCut(board.index, 'down')) settle(answer);
            }),
          () => settle(undefined),
        );
      });
    });
  }
}
