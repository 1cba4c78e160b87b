// The wires between the controller and the boards: loss, delay, duplication, reordering, replay, damage, and cuts of either
// direction. Datagrams as they were sent keep their meaning beside them, for the referee; damaged ones have none.
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

export interface Weather {
  /** Each way, 0 to 1. */
  loss: number;
  duplication: number;
  /** A copy that comes up to half a minute later. */
  replay: number;
  /** A copy with a flipped bit, or the whole datagram at another board. */
  forgery: number;
  delayMs: number;
  /** Mean of what comes on top of it. */
  jitterMs: number;
  /** A delay of up to `spikeMs` instead. */
  spike: number;
  spikeMs: number;
}

export const fairWeather: Weather = {
  loss: 0,
  duplication: 0,
  replay: 0,
  forgery: 0,
  delayMs: 0.2,
  jitterMs: 0.3,
  spike: 0,
  spikeMs: 0,
};

export type Direction = 'up' | 'down';

export interface Datagram {
  bytes: Buffer;
  /** False where the bytes are not as they were sent. */
  genuine: boolean;
}

/** A datagram as it leaves one end. */
export interface Sending {
  board: number;
  direction: Direction;
  bytes: Buffer;
}

type Arrival = (datagram: Datagram) => void;

const replayWithinMs = 30_000;

export class Network {
  weather: Weather = fairWeather;
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #cut: { up: Set<number>; down: Set<number> } = { up: new Set(), down: new Set() };

  constructor(timeline: Timeline, random: Random) {
    this.#timeline = timeline;
    this.#random = random;
  }

  cut(board: number, direction: Direction): void {
    this.#cut[direction].add(board);
  }

  mend(board: number, direction: Direction): void {
    this.#cut[direction].delete(board);
  }

  isCut(board: number, direction: Direction): boolean {
    return this.#cut[direction].has(board);
  }

  /** `deliver` is called for each copy that arrives. A forged copy for another board goes to `astray`. */
  send({ board, direction, bytes }: Sending, { deliver, astray }: { deliver: Arrival; astray: Arrival }): void {
    const { weather } = this;
    const random = this.#random;
    const carry = ({ ms, datagram, to }: { ms: number; datagram: Datagram; to: Arrival }): void => {
      if (this.isCut(board, direction) || random.chance(weather.loss)) return;
      // What is on its way when a cable is pulled is lost too.
      this.#timeline.after(ms, () => {
        if (!this.isCut(board, direction)) to(datagram);
      });
    };
    const genuine = { bytes, genuine: true };
    carry({ ms: this.#delay(), datagram: genuine, to: deliver });
    if (random.chance(weather.duplication)) carry({ ms: this.#delay(), datagram: genuine, to: deliver });
    if (random.chance(weather.replay)) carry({ ms: random.between(0, replayWithinMs), datagram: genuine, to: deliver });
    if (random.chance(weather.forgery)) {
      if (random.chance(0.3)) carry({ ms: this.#delay(), datagram: genuine, to: astray });
      else {
        const damaged = Buffer.from(bytes);
        const at = random.integer(damaged.length);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << random.integer(8));
        carry({ ms: this.#delay(), datagram: { bytes: damaged, genuine: false }, to: deliver });
      }
    }
  }

  /** One call over TCP: what is lost is sent again. Undefined where it does not get through. */
  callMs(board: number): number | undefined {
    if (this.isCut(board, 'up') || this.isCut(board, 'down')) return undefined;
    let ms = 2 * this.#delay() + 5;
    for (let again = 200; this.#random.chance(this.weather.loss); again *= 2) ms += again;
    return ms > 10_000 ? undefined : ms;
  }

  #delay(): number {
    const { delayMs, jitterMs, spike, spikeMs } = this.weather;
    if (this.#random.chance(spike)) return this.#random.between(delayMs, spikeMs);
    return delayMs + this.#random.around(jitterMs);
  }
}
