// Notices that the other thread says nothing any more. Each of the two looks ten times a second or twice, and counts only time in
// which it ran itself: what it slept through is nobody's silence.

export class QuietWatch {
  readonly #longestGapMs: number;
  #lookedAt: number;
  #quietMs = 0;

  /** A pause between two looks counts as `longestGapMs` at most. */
  constructor({ now, longestGapMs }: { now: number; longestGapMs: number }) {
    this.#longestGapMs = longestGapMs;
    this.#lookedAt = now;
  }

  spoke(): void {
    this.#quietMs = 0;
  }

  /** How long it has said nothing, ms. */
  look(now: number): number {
    this.#quietMs += Math.min(Math.max(0, now - this.#lookedAt), this.#longestGapMs);
    this.#lookedAt = now;
    return this.#quietMs;
  }
}
