// The packets that wait for their decision. More can come than can be answered; then it is decided here, by the packet's
// header and without reading it, who is answered: the oldest that still waits, boards before machines that nobody knows.
//
// A board has one place for each kind of packet. What it sends while it waits replaces what it sent before, whose answer it
// would not take any more, and keeps the place. What has waited longer than any firmware does is dropped.

import { type Mac, macFromBytes } from '../../protocol/mac.ts';

/** Six racks of boards; and of machines that nobody knows as many as are answered within `staleMs`, and more. */
const lengthLimit = { known: 8_192, strangers: 1_024 };
/** One turn in so many is for strangers, who may be new boards. */
const strangersTurn = 4;
/** iPXE asks again after a second, U-Boot after two or three; the answer to the one before is ignored then. */
const staleMs = 3_000;

/** Where the header ends, behind which options 53, 1, TYPE come first from every firmware that we know (packet.ts). */
const at = { mac: 28, options: 240, type: 242 };

/** What is shorter is no DHCP packet. */
export const headerBytes = at.type + 1;

interface Waiting {
  datagram: Buffer;
  heardAtMs: number;
}

export class Backlog {
  readonly #known = new Map<string, Waiting>();
  readonly #strangers = new Map<string, Waiting>();
  readonly #isKnown: (mac: Mac) => boolean;
  #turn = 0;

  /** `isKnown`: who is answered first. */
  constructor(isKnown: (mac: Mac) => boolean) {
    this.#isKnown = isKnown;
  }

  get length(): number {
    return this.#known.size + this.#strangers.size;
  }

  /** Of at least `headerBytes`. Returns false where there is no room for it. */
  put(datagram: Buffer, nowMs: number): boolean {
    const key = `${datagram.toString('latin1', at.mac, at.mac + 6)}${datagram.toString('latin1', at.options, at.type + 1)}`;
    const waiting = this.#known.get(key) ?? this.#strangers.get(key);
    if (waiting !== undefined) {
      waiting.datagram = datagram;
      waiting.heardAtMs = nowMs;
      return true;
    }
    const isKnown = this.#isKnown(macFromBytes(datagram.subarray(at.mac, at.mac + 6)));
    const lane = isKnown ? this.#known : this.#strangers;
    if (lane.size >= (isKnown ? lengthLimit.known : lengthLimit.strangers)) return false;
    lane.set(key, { datagram, heardAtMs: nowMs });
    return true;
  }

  /** The next to decide about; what nobody waits for any more goes to `dropped`. */
  take(nowMs: number, dropped: () => void): Buffer | undefined {
    for (;;) {
      const turn = this.#turn++ % strangersTurn;
      const [first, second] =
        turn === strangersTurn - 1 ? [this.#strangers, this.#known] : [this.#known, this.#strangers];
      const lane = first.size > 0 ? first : second;
      const [next] = lane;
      if (next === undefined) return undefined;
      const [key, { datagram, heardAtMs }] = next;
      lane.delete(key);
      if (nowMs - heardAtMs <= staleMs && nowMs >= heardAtMs) return datagram;
      dropped();
    }
  }
}
