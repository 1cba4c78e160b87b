/** Readers and the writer of one connection take turns: a reader would see the half of a transaction. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Does the work after all that was handed in before. */
  take<T>(work: () => Promise<T>): Promise<T> {
    // The one before told its own caller when it failed.
    const next = this.#last.then(work, work);
    this.#last = next;
    return next;
  }
}
