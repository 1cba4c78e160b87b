// Who holds a board's place. A MAC address is no secret: whoever sends packets in its name could be given a session in its
// stead, and with it images and what is secret in them. So the place of a board whose signed heartbeats come is its own:
// no token and no session is given for its MAC until it has been silent for so long that nothing of a customer runs there.
//
// Time is counted in sweeps, and a pause between two of them as one second at most: what was sent while we did not listen
// (we were stopped, or just started) proves no silence. So a new process holds every place for its first four seconds.
import type { Mac } from '../../protocol/mac.ts';
import { stopsByItselfMs } from '../../protocol/timing.ts';

/** Sweeps come every 250 ms. */
const longestGapMs = 1_000;
/** A heartbeat this long after somebody else asked was not on its way when the board was reset: there are two. */
const twoAfterMs = 1_000;
/** So many are remembered. */
const contestLimit = 256;
const sameContestMs = 60_000;
const contestsPerMinuteLimit = 10;

interface Contest {
  at: number;
  what: string;
}

export class Places {
  /** Time in which we listened, ms. */
  #listenedMs = 0;
  #lastSweep: number | undefined;
  /** By the time in which we listened. */
  readonly #heard = new Map<Mac, number>();
  readonly #contests = new Map<Mac, Contest>();
  /** When it was told, by MAC and what was asked. */
  readonly #told = new Map<string, number>();
  #minute = { began: 0, told: 0 };

  sweep(now: number): void {
    const gapMs = now - (this.#lastSweep ?? now);
    this.#listenedMs += Math.min(Math.max(gapMs, 0), longestGapMs);
    this.#lastSweep = now;
  }

  /** Whether the session that stands for this MAC may still be alive. */
  isHeld(mac: Mac): boolean {
    return this.quietMs(mac) < stopsByItselfMs;
  }

  /** How long we have listened to it in vain. */
  quietMs(mac: Mac): number {
    return this.#listenedMs - (this.#heard.get(mac) ?? 0);
  }

  /** A new session: what was asked for before was its own boot. */
  joined(mac: Mac): void {
    this.#heard.set(mac, this.#listenedMs);
    this.#contests.delete(mac);
  }

  /** Somebody else asked for the place: `what`, and from where. Whether that was another machine shows at the next heartbeat. */
  contested(mac: Mac, what: string): void {
    if (this.#contests.has(mac) || this.#contests.size >= contestLimit) return;
    this.#contests.set(mac, { at: this.#listenedMs, what });
  }

  /** A signed heartbeat. Returns who else asked for the place, when that is news. */
  heard(mac: Mac): string | undefined {
    this.#heard.set(mac, this.#listenedMs);
    const contest = this.#contests.get(mac);
    if (contest === undefined || this.#listenedMs - contest.at < twoAfterMs) return undefined;
    this.#contests.delete(mac);
    return this.#isNews(`${mac} ${contest.what}`) ? contest.what : undefined;
  }

  forget(isKnown: (mac: Mac) => boolean): void {
    for (const map of [this.#heard, this.#contests]) for (const mac of map.keys()) if (!isKnown(mac)) map.delete(mac);
  }

  #isNews(contest: string): boolean {
    const at = this.#listenedMs;
    const told = this.#told.get(contest);
    if (told !== undefined && at - told < sameContestMs) return false;
    if (at - this.#minute.began >= 60_000) this.#minute = { began: at, told: 0 };
    if (this.#minute.told >= contestsPerMinuteLimit) return false;
    this.#minute.told++;
    const [oldest] = this.#told.keys();
    if (this.#told.size >= contestLimit && oldest !== undefined) this.#told.delete(oldest);
    this.#told.set(contest, at);
    return true;
  }
}
