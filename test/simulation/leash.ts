// The leash as `images/node/leash.sh` does it, line by line, with that script's own numbers.
import type { LeashNumbers } from './leash-numbers.ts';
import type { Timeline } from './timeline.ts';

export interface LeashHost {
  /** Of /proc/uptime, as the shell reads it. */
  uptimeHundredths(): number;
  /** Customers with a control group. */
  customers(): Iterable<string>;
  stop(customer: string): void;
  vouchedFor(customer: string): void;
  isPopulated(customer: string): boolean;
  feedWatchdog(): void;
}

/** A pipe holds so much; what an agent writes beyond is lost. */
const pipeBytes = 65_536;

export class Leash {
  readonly #timeline: Timeline;
  readonly #numbers: LeashNumbers;
  readonly #host: LeashHost;
  readonly #deadlines = new Map<string, number>();
  readonly #killed = new Map<string, number>();
  #lines: string[] = [];
  #bytes = 0;
  #swept = 0;
  #waiting = 0;
  #waitOver = false;
  #frozen = false;
  #dead = false;

  constructor(timeline: Timeline, numbers: LeashNumbers, host: LeashHost) {
    this.#timeline = timeline;
    this.#numbers = numbers;
    this.#host = host;
    this.#wait();
  }

  write(chunk: string): void {
    if (this.#dead || this.#bytes + chunk.length > pipeBytes) return;
    this.#bytes += chunk.length;
    this.#lines.push(...chunk.split('\n').slice(0, -1));
    if (!this.#frozen) this.#read();
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    if (this.#lines.length > 0) this.#read();
    else if (this.#waitOver) this.#timeout();
  }

  kill(): void {
    this.#dead = true;
  }

  #read(): void {
    for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
      this.#bytes -= line.length + 1;
      const now = this.#host.uptimeHundredths();
      const [customer = '', text = ''] = line.split(' ');
      if (/^[a-z0-9_]+$/.test(customer) && /^\d{1,14}$/.test(text))
        this.#deadlines.set(customer, Math.min(Number(text), now + this.#numbers.clampMs / 10));
      this.#sweepIfDue(now);
    }
    this.#wait();
  }

  #wait(): void {
    const waiting = ++this.#waiting;
    this.#waitOver = false;
    this.#timeline.after(this.#numbers.readWaitMs, () => {
      if (this.#dead || waiting !== this.#waiting) return;
      this.#waitOver = true;
      if (!this.#frozen) this.#timeout();
    });
  }

  #timeout(): void {
    this.#sweepIfDue(this.#host.uptimeHundredths());
    this.#wait();
  }

  #sweepIfDue(now: number): void {
    if ((now - this.#swept) * 10 < this.#numbers.leastGapMs) return;
    this.#swept = now;
    let stuck = false;
    for (const customer of this.#host.customers()) {
      const killed = this.#killed.get(customer) ?? 0;
      if ((this.#deadlines.get(customer) ?? 0) > now) {
        if (killed === 0) continue;
        this.#killed.set(customer, 0);
        this.#host.vouchedFor(customer);
        continue;
      }
      this.#host.stop(customer);
      if (killed === 0) this.#killed.set(customer, now);
      else if (!this.#host.isPopulated(customer)) this.#killed.set(customer, now);
      else if ((now - killed) * 10 > this.#numbers.stuckMs) stuck = true;
    }
    if (!stuck) this.#host.feedWatchdog();
  }
}
