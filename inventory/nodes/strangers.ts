// What strangers may cost us. Anybody on the segment can send any number of packets from MACs that he made up.

/** A rack's boards at once, and then as many a second as a disk has no trouble with. DHCP asks again after 4 s. */
const burstLimit = 700;
const perSecondLimit = 50;

/** How many new nodes may come to be. */
export class Newcomers {
  readonly #now: () => number;
  #left = burstLimit;
  #at: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#at = now();
  }

  admit(): boolean {
    const now = this.#now();
    this.#left = Math.min(burstLimit, this.#left + (Math.max(0, now - this.#at) / 1_000) * perSecondLimit);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

const memoryLimit = 256;
const eventsPerMinuteLimit = 10;

/** Whose beacons were told of already. */
export class Strangers {
  readonly #now: () => number;
  /** In the order in which they were first heard. */
  readonly #told = new Set<string>();
  #minute = { began: 0, events: 0 };

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether an event is due. */
  isNew(sender: string): boolean {
    if (this.#told.has(sender)) return false;
    const now = this.#now();
    if (now - this.#minute.began >= 60_000) this.#minute = { began: now, events: 0 };
    if (this.#minute.events >= eventsPerMinuteLimit) return false;
    this.#minute.events++;
    const [oldest] = this.#told;
    if (this.#told.size >= memoryLimit && oldest !== undefined) this.#told.delete(oldest);
    this.#told.add(sender);
    return true;
  }
}
