// What all containers together may make the agent read: what they print costs its one thread, which obeys permits, no more.

/** More than a report carries in the same time. */
const bytesPerMs = 512;
/** Between two reads of one stream: what it prints meanwhile comes in one. */
const restMs = 10;

export class ReadBudget {
  #freeAt = 0;

  /** How long a stream of which `bytes` were just read waits for its next turn, ms. */
  restAfter(bytes: number, now: number): number {
    this.#freeAt = Math.max(this.#freeAt, now) + bytes / bytesPerMs;
    return Math.max(restMs, this.#freeAt - now);
  }
}
