// A semaphore with owners: who works next, where a few may work at once. In the order in which they came, but nobody takes all
// places, so that whoever comes next always finds one that others than its own work can free.

export interface SemaphoreLimits {
  /** How many work at once. */
  most: number;
  /** How many of one owner. */
  mostOfOne: number;
  /** How many wait for a place. */
  mostWaiting: number;
}

interface Waiting {
  owner: string;
  begin: () => void;
}

export class FairSemaphore {
  readonly #limits: SemaphoreLimits;
  readonly #working: string[] = [];
  readonly #waiting: Waiting[] = [];

  constructor(limits: SemaphoreLimits) {
    this.#limits = limits;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Resolves when it is the owner's turn; disposing ends that. Undefined where too many wait already. */
  acquire(owner: string): Promise<Disposable> | undefined {
    if (this.#waiting.length >= this.#limits.mostWaiting) return undefined;
    return new Promise((resolve) => {
      this.#waiting.push({ owner, begin: () => resolve({ [Symbol.dispose]: () => this.#leave(owner) }) });
      this.#beginNext();
    });
  }

  #leave(owner: string): void {
    this.#working.splice(this.#working.indexOf(owner), 1);
    this.#beginNext();
  }

  #beginNext(): void {
    const { most, mostOfOne } = this.#limits;
    while (this.#working.length < most) {
      const next = this.#waiting.findIndex(
        ({ owner }) => this.#working.filter((each) => each === owner).length < mostOfOne,
      );
      const [begun] = next < 0 ? [] : this.#waiting.splice(next, 1);
      if (begun === undefined) return;
      this.#working.push(begun.owner);
      begun.begin();
    }
  }
}
