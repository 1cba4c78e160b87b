// A bucket of tokens for each source: what somebody may ask for at once, and from then on each second.

/** Sources that are remembered; the one that asked longest ago is forgotten first. */
const sourceLimit = 4_096;

export class RateLimit {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  readonly #left = new Map<string, { tokens: number; at: number }>();

  /** `now` in ms. */
  constructor({ burst, perSecond, now }: { burst: number; perSecond: number; now: () => number }) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
  }

  /** What was granted cost nothing after all. */
  giveBack(source = ''): void {
    const known = this.#left.get(source);
    if (known !== undefined) known.tokens = Math.min(this.#burst, known.tokens + 1);
  }

  /** Whether one more is granted. */
  admit(source = ''): boolean {
    const at = this.#now();
    const known = this.#left.get(source);
    const refilled =
      known === undefined ? this.#burst : known.tokens + (Math.max(0, at - known.at) / 1_000) * this.#perSecond;
    const tokens = Math.min(this.#burst, refilled);
    this.#left.delete(source);
    this.#left.set(source, { tokens: tokens < 1 ? tokens : tokens - 1, at });
    const [oldest] = this.#left;
    if (this.#left.size > sourceLimit && oldest !== undefined) this.#left.delete(oldest[0]);
    return tokens >= 1;
  }
}
