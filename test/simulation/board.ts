// One board: its kernel's view of the customers, its power, its leash, its watchdog, and one life after another of its
// agent. What a customer's processes do is this: they are started, run, have a kill pending, are gone.
import type { KeyObject } from 'node:crypto';
import type { JoinAnswer } from '../../protocol/api/agent.ts';
import { type AgentBoard, AgentLife, type AgentWorld } from './agent-life.ts';
import type { Call, CallingBoard } from './controller-life.ts';
import type { LeashNumbers } from './leash-numbers.ts';
import { Leash, type LeashHost } from './leash.ts';

export interface Group {
  customer: string;
  /** A container start under way. */
  starting: boolean;
  running: boolean;
  /** SIGKILL is pending for all of it: no further instruction of its own runs. */
  dying: boolean;
  /** `cgroup.max.descendants` is 0. */
  forbidden: boolean;
}

/** What a board runs in. */
interface BoardWorld extends AgentWorld {
  readonly leashNumbers: LeashNumbers;
  killMs(): number;
  call<T>(board: CallingBoard, call: Call<T>): void;
}

/** PID 1 sees the leash end after some ms, kills everything, and starts the next one. */
const guardMs = 15;
const leashRestartMs = 150;
/** Node.js on a small board: from exec to the first line of the agent. */
const agentStartMs = { least: 300, most: 2_000 };

export class Board implements AgentBoard {
  readonly index: number;
  readonly mac: string;
  readonly address: string;
  readonly name: string;
  readonly world: BoardWorld;
  readonly groups = new Map<string, Group>();
  /** In the agent's tmpfs: survives an agent, not a boot. */
  saved: { answer: JoinAnswer; key: KeyObject } | undefined;
  token: string | undefined;
  bootId = '';
  agent: AgentLife | undefined;
  bootedAt = 0;
  isUp = false;
  /** The kernel hangs, with everything on it. */
  isHung = false;
  hungUntil = -Infinity;
  /** Something on this very board was made to fail: what it then stops is no surprise. */
  isFaulty = false;
  /** A killed customer's process that hangs in the kernel goes only with the board. */
  neverDies: string | undefined;
  #boots = 0;
  #leash: Leash | undefined;
  #fedAt = 0;
  #whenAwake: (() => void)[] = [];
  #agentPauseMs = 1_000;
  #emptied: (() => void)[] = [];

  constructor(world: BoardWorld, index: number) {
    this.world = world;
    this.index = index;
    this.mac = `02:00:00:c2:${hex(index >> 8)}:${hex(index & 255)}`;
    this.address = `10.77.${index >> 8}.${index & 255}`;
    this.name = `board ${index}`;
  }

  tell(what: string): void {
    this.world.timeline.tell(this.name, what);
  }

  // ---- power

  powerOn(afterMs: number): void {
    const boot = ++this.#boots;
    this.world.timeline.after(afterMs, () => {
      if (boot === this.#boots) this.#fetchBoot(boot);
    });
  }

  /** Nothing on a board outlives its power. */
  powerOff(why: string): void {
    if (this.isUp) this.tell(`off: ${why}`);
    this.#boots++;
    this.isUp = false;
    this.isHung = false;
    this.#whenAwake = [];
    this.agent?.kill();
    this.agent = undefined;
    this.#leash?.kill();
    this.#leash = undefined;
    this.groups.clear();
    this.saved = undefined;
    this.#emptied = [];
  }

  reset(why: string): void {
    this.powerOff(why);
    this.powerOn(this.world.random.between(3_000, 12_000));
  }

  /** DHCP and boot files come from the controller: without it the board tries again and again. */
  #fetchBoot(boot: number): void {
    const { world } = this;
    world.call(this, {
      ask: async (controller) => controller.ticketFor(this.mac),
      done: (token) => {
        if (boot !== this.#boots) return;
        if (token === undefined) this.powerOn(1_000);
        else this.#boot(token);
      },
    });
  }

  #boot(token: string): void {
    this.token = token;
    this.bootId = `boot-${this.#boots}`;
    this.bootedAt = this.world.timeline.now - 5_000;
    this.isUp = true;
    this.#agentPauseMs = 1_000;
    this.tell('up');
    this.#startLeash();
    this.#watch();
    this.#startAgent();
  }

  // ---- the kernel's clocks and timers

  uptimeMs(): number {
    return this.world.timeline.now - this.bootedAt;
  }

  /** A timer of the kernel: not before the board is awake, and not after this boot. */
  later(ms: number, run: () => void): void {
    const boot = this.#boots;
    this.world.timeline.after(ms, () => {
      if (boot !== this.#boots) return;
      if (this.isHung) this.#whenAwake.push(run);
      else run();
    });
  }

  hang(): void {
    if (!this.isUp) return;
    this.tell('kernel hangs');
    this.isHung = true;
    this.#leash?.freeze();
    this.agent?.program.freeze();
  }

  /** The leash has real-time priority: it runs first. */
  wake(): void {
    if (!this.isHung) return;
    this.tell('kernel goes on');
    this.isHung = false;
    this.hungUntil = this.world.timeline.now;
    this.#leash?.thaw();
    for (const run of this.#whenAwake.splice(0)) this.later(1, run);
    this.later(1, () => this.agent?.program.thaw());
  }

  // ---- leash and watchdog

  #startLeash(): void {
    const { timeline, leashNumbers: numbers } = this.world;
    this.#fedAt = timeline.now;
    const host: LeashHost = {
      uptimeHundredths: () => Math.floor(this.uptimeMs() / 10),
      customers: () => this.groups.keys(),
      stop: (customer) => this.kill(customer, { by: 'leash' }),
      vouchedFor: (customer) => {
        const group = this.groups.get(customer);
        if (group !== undefined) group.forbidden = false;
      },
      isPopulated: (customer) => this.isPopulated(customer),
      feedWatchdog: () => {
        this.#fedAt = timeline.now;
      },
      reset: (customer) => this.reset(`${customer} outlives its kill`),
    };
    this.#leash = new Leash(host, { timeline, numbers });
  }

  writeLeash(chunks: string[]): void {
    for (const chunk of chunks) this.#leash?.write(chunk);
  }

  freezeLeash(): void {
    this.tell('leash frozen');
    this.#leash?.freeze();
  }

  thawLeash(): void {
    this.tell('leash goes on');
    if (!this.isHung) this.#leash?.thaw();
  }

  /** PID 1 stops everybody, and starts another one, which knows of nobody. */
  killLeash(): void {
    if (!this.isUp) return;
    this.tell('leash killed');
    this.#leash?.kill();
    this.#leash = undefined;
    this.later(guardMs, () => {
      for (const customer of this.groups.keys()) this.kill(customer, { by: 'PID 1', forbid: false });
      this.later(leashRestartMs, () => this.#startLeash());
    });
  }

  /** The hardware counts on whatever the kernel does. */
  #watch(): void {
    const boot = this.#boots;
    this.world.timeline.at(this.#fedAt + this.world.leashNumbers.watchdogMs, () => {
      if (boot !== this.#boots) return;
      if (this.world.timeline.now - this.#fedAt >= this.world.leashNumbers.watchdogMs - 1e-6) this.reset('watchdog');
      else this.#watch();
    });
  }

  // ---- the agent

  #startAgent(): void {
    const { world } = this;
    this.later(world.random.between(agentStartMs.least, agentStartMs.most), () => {
      if (this.agent === undefined) this.agent = new AgentLife(this);
    });
  }

  /** PID 1 starts it again: 1 s later, or up to 8 s when it keeps ending. */
  killAgent(): void {
    if (!this.isUp || this.agent === undefined) return;
    this.tell('agent killed');
    this.agent.kill();
    this.agent = undefined;
    const pauseMs = this.#agentPauseMs;
    this.#agentPauseMs = Math.min(8_000, 2 * pauseMs);
    this.later(pauseMs, () => this.#startAgent());
  }

  // ---- customers' control groups

  isPopulated(customer: string): boolean {
    return this.groups.get(customer)?.running === true;
  }

  /** A container of the customer, unless one is there. The agent may die meanwhile, the start goes on. */
  start(customer: string): void {
    // What an agent had begun when its board went off comes to nothing.
    if (!this.isUp) return;
    const group = this.#group(customer);
    if (group.running || group.starting || group.forbidden) return;
    group.starting = true;
    this.later(this.world.random.between(50, 1_500), () => {
      group.starting = false;
      if (!group.forbidden) {
        group.running = true;
        this.tell(`${customer} runs`);
        this.world.referee.started(this, customer);
      }
      this.#tellEmptied();
    });
  }

  kill(customer: string, { by, forbid = true }: { by: string; forbid?: boolean }): void {
    const group = this.#group(customer);
    if (forbid) group.forbidden = true;
    if (!group.running || group.dying) return;
    this.tell(`${customer} killed by ${by}`);
    group.dying = true;
    this.world.referee.stopping(this, { customer, by });
    if (customer === this.neverDies) return;
    this.later(this.world.killMs(), () => {
      group.running = false;
      group.dying = false;
      this.tell(`${customer} is gone`);
      this.#tellEmptied();
    });
  }

  /** Resolves when the group is empty and no start is under way. */
  whenEmpty(customer: string): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        const group = this.groups.get(customer);
        if (group === undefined || (!group.running && !group.starting)) resolve();
        else this.#emptied.push(look);
      };
      look();
    });
  }

  #tellEmptied(): void {
    for (const look of this.#emptied.splice(0)) look();
  }

  #group(customer: string): Group {
    const known = this.groups.get(customer);
    if (known !== undefined) return known;
    const group = { customer, starting: false, running: false, dying: false, forbidden: false };
    this.groups.set(customer, group);
    return group;
  }
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
