// A program under simulation: one thread with Node's event loop. Each turn takes the timers that are due, then at most 32
// datagrams and calls from outside, then what waited for the next turn. It can be frozen, as by SIGSTOP, and killed, as by
// SIGKILL: timers and datagrams of a frozen one pile up, those of a killed one are gone.
import type { Timeline } from './timeline.ts';

type Job = () => void;

/** libuv reads a UDP socket this often before it looks at anything else. */
const readsPerTurn = 32;
/** What one callback takes. */
const jobMs = 0.02;

export class Program {
  readonly #timeline: Timeline;
  readonly #bufferedJobs: number;
  #timers: Job[] = [];
  #arrived: Job[] = [];
  #immediates: Job[] = [];
  #turn: Job[] = [];
  #scheduled = false;
  #frozen = false;
  #dead = false;
  /** Datagrams that found the socket's buffer full. */
  overflows = 0;

  constructor(timeline: Timeline, bufferedJobs: number) {
    this.#timeline = timeline;
    this.#bufferedJobs = bufferedJobs;
  }

  get isDead(): boolean {
    return this.#dead;
  }

  get isFrozen(): boolean {
    return this.#frozen;
  }

  /** Gives what cancels it. */
  later(job: Job, ms: number): () => void {
    let cancelled = false;
    this.#timeline.after(ms, () => {
      if (cancelled || this.#dead) return;
      this.#timers.push(() => {
        if (!cancelled) job();
      });
      this.#wake();
    });
    return () => {
      cancelled = true;
    };
  }

  /** Like `setInterval`: a frozen program misses what it missed. */
  every(ms: number, job: Job): void {
    this.later(() => {
      job();
      this.every(ms, job);
    }, ms);
  }

  /** From outside: a datagram, or the answer to a call. */
  post(job: Job): void {
    if (this.#dead) return;
    if (this.#arrived.length >= this.#bufferedJobs) {
      this.overflows++;
      return;
    }
    this.#arrived.push(job);
    this.#wake();
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#immediates.push(resolve);
      this.#wake();
    });
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.later(resolve, ms));
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    this.#wake();
  }

  kill(): void {
    this.#dead = true;
    this.#timers = [];
    this.#arrived = [];
    this.#immediates = [];
    this.#turn = [];
  }

  #wake(): void {
    if (this.#scheduled || this.#frozen || this.#dead) return;
    if (this.#turn.length + this.#timers.length + this.#arrived.length + this.#immediates.length === 0) return;
    this.#scheduled = true;
    this.#timeline.after(jobMs, () => {
      this.#scheduled = false;
      if (this.#frozen || this.#dead) return;
      if (this.#turn.length === 0) this.#beginTurn();
      this.#turn.shift()?.();
      this.#wake();
    });
  }

  #beginTurn(): void {
    this.#turn = [...this.#timers, ...this.#arrived.splice(0, readsPerTurn), ...this.#immediates];
    this.#timers = [];
    this.#immediates = [];
  }
}
