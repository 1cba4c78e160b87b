/** Readers and the writer of one connection exclude each other: a reader would see the half of a transaction. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  /** Does the work after all that was handed in before. */
  run<T>(work: () => Promise<T>): Promise<T> {
    // The one before told its own caller when it failed.
    const next = this.#last.then(work, work);
    this.#last = next;
    return next;
  }
}
