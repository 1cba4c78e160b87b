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
  reset(customer: string): void;
}

/** A pipe holds so much; what an agent writes beyond is lost. */
const pipeBytes = 65_536;

export class Leash {
  readonly #timeline: Timeline;
  readonly #numbers: LeashNumbers;
  readonly #host: LeashHost;
  readonly #deadlines = new Map<string, number>();
  readonly #killed = new Set<string>();
  readonly #looks = new Map<string, number>();
  #lines: string[] = [];
  #bytes = 0;
  #looked = 0;
  #someoneDies = false;
  #waiting = 0;
  #waitOver = false;
  #frozen = false;
  #dead = false;

  constructor(host: LeashHost, { timeline, numbers }: { timeline: Timeline; numbers: LeashNumbers }) {
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
      this.#lookIfDue(now);
    }
    this.#wait();
  }

  #wait(): void {
    const waiting = ++this.#waiting;
    this.#waitOver = false;
    this.#timeline.after(this.#someoneDies ? this.#numbers.dyingWaitMs : this.#numbers.readWaitMs, () => {
      if (this.#dead || waiting !== this.#waiting) return;
      this.#waitOver = true;
      if (!this.#frozen) this.#timeout();
    });
  }

  #timeout(): void {
    this.#lookIfDue(this.#host.uptimeHundredths());
    this.#wait();
  }

  #lookIfDue(now: number): void {
    const gapMs = this.#someoneDies ? this.#numbers.dyingGapMs : this.#numbers.leastGapMs;
    if ((now - this.#looked) * 10 < gapMs) return;
    this.#looked = now;
    this.#someoneDies = false;
    let stuck: string | undefined;
    for (const customer of this.#host.customers()) {
      if ((this.#deadlines.get(customer) ?? 0) > now) {
        this.#looks.delete(customer);
        if (this.#killed.delete(customer)) this.#host.vouchedFor(customer);
        continue;
      }
      this.#killed.add(customer);
      this.#host.stop(customer);
      if (this.#host.isPopulated(customer)) {
        this.#someoneDies = true;
        const looks = (this.#looks.get(customer) ?? 0) + 1;
        this.#looks.set(customer, looks);
        if (looks > this.#numbers.patientLooks) stuck = customer;
      } else this.#looks.delete(customer);
    }
    if (stuck === undefined) this.#host.feedWatchdog();
    else this.#host.reset(stuck);
  }
}
