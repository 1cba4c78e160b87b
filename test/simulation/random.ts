// Seeded randomness in named streams: what one part draws does not shift what another one gets.
import { seededRandom } from '../../protocol/seeded-random.fixture.ts';

export class Random {
  readonly #next: () => number;
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
    this.#next = seededRandom(seed);
  }

  /** The same stream for the same name, whatever was drawn elsewhere. */
  stream(name: string): Random {
    let hash = this.#seed ^ 0x811c9dc5;
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
    return new Random(Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) | 0);
  }

  /** From `from` up to, not including, `to`. */
  between(from: number, to: number): number {
    return from + this.#next() * (to - from);
  }

  integer(below: number): number {
    return Math.floor(this.#next() * below);
  }

  chance(probability: number): boolean {
    return probability > 0 && this.#next() < probability;
  }

  /** Exponential. */
  around(mean: number): number {
    return mean === 0 ? 0 : -mean * Math.log(1 - this.#next());
  }

  pick<T>(from: readonly T[]): T {
    const found = from[this.integer(from.length)];
    if (found === undefined) throw new Error('cannot pick from nothing');
    return found;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at++) bytes[at] = this.#next() * 256;
    return bytes;
  }
}
