// What is decided of a heartbeat before its signature is computed, which costs more than all the rest: anybody on the segment
// can send as many as the wire takes, with a session id that he has seen there. Wrong signatures have budgets; a right one costs
// nothing. What comes from where a session was last heard has a budget of that session's own, and then a share in another, so
// that only who forges thousands a second with a board's session, address, port and uptime can drown that board, and no other.
import { RateLimit } from '../../rate-limit.ts';

/** Of a session, from the address and port where it was last heard. */
const ownBudget = { burst: 200, perSecond: 100 };
/** Of all sessions, beyond their own: a tenth of a processor. */
const sharedBudget = { burst: 8_000, perSecond: 8_000 };
/** Of a session from another address or port, or far ahead, or not heard yet: a new agent, or somebody who knows the id. */
const strangeBudget = { burst: 10, perSecond: 10 };
/** All of those together: a whole rack at once after a restart of ours, then what costs little. */
const strangersBudget = { burst: 2_000, perSecond: 1_500 };

/**
 * Sequences are microseconds since the board's start. Twice as fast as our clock, and a minute ahead, is no board's, but where
 * our machine slept.
 */
const sequenceSlackMs = 60_000;
const sequencesPerMs = 2_000;

export interface Claimed {
  sessionId: string;
  address: string;
  port: number;
  sequence: bigint;
}

/** The last genuine heartbeat of a session. */
export interface Heard {
  address: string;
  port: number;
  sequence: bigint;
  /** Monotonic ms. */
  heardAt: number;
}

export class HeartbeatGate {
  readonly #now: () => number;
  readonly #own: RateLimit;
  readonly #shared: RateLimit;
  readonly #strange: RateLimit;
  readonly #strangers: RateLimit;

  /** Monotonic ms. */
  constructor(now: () => number) {
    this.#now = now;
    this.#own = new RateLimit({ ...ownBudget, now });
    this.#shared = new RateLimit({ ...sharedBudget, now });
    this.#strange = new RateLimit({ ...strangeBudget, now });
    this.#strangers = new RateLimit({ ...strangersBudget, now });
  }

  /** Whether its signature is worth looking at. */
  admits({ sessionId, address, port, sequence }: Claimed, heard: Heard | undefined): boolean {
    if (heard === undefined) return this.#admitsStranger(sessionId, address);
    if (sequence <= heard.sequence) return false;
    const elapsedMs = Math.max(0, this.#now() - heard.heardAt) + sequenceSlackMs;
    const isPlausible = sequence - heard.sequence <= BigInt(Math.ceil(elapsedMs)) * BigInt(sequencesPerMs);
    if (isPlausible && address === heard.address && port === heard.port)
      return this.#own.admit(sessionId) || this.#shared.admit();
    return this.#admitsStranger(sessionId, address);
  }

  /** Its signature was right. */
  wasGenuine({ sessionId, address }: Claimed): void {
    this.#own.giveBack(sessionId);
    this.#strange.giveBack(`${sessionId} ${address}`);
  }

  #admitsStranger(sessionId: string, address: string): boolean {
    return this.#strange.admit(`${sessionId} ${address}`) && this.#strangers.admit();
  }
}
