// When each node was heard last, in memory only: 912 heartbeats a second must not reach the disk. What follows from
// them does: the steps to ready, silent and lost.
import type { Mac } from '../../protocol/mac.ts';
import { lostAfterMs, silentAfterMs } from '../../protocol/timing.ts';
import type { NewEvent } from '../store/transaction.ts';
import type { Transact } from '../store/writer.ts';
import { isFull } from '../store/disk-reserve.ts';
import type { NodeDocument } from '../store/documents.ts';
import { isPossible, type LifeCycleEvent, nextState } from './life-cycle.ts';
import type { Cache } from '../store/cache.ts';
import { decideStep } from './nodes.ts';

/** Sweeps come every 250 ms: after a longer gap than this we were not running, and nobody's silence was heard. */
const pauseMs = 5_000;

export class HeartbeatRecord {
  readonly #cache: Cache;
  readonly #transact: Transact;
  readonly #now: () => number;
  readonly #addEvent: (event: NewEvent) => void;
  readonly #heard = new Map<Mac, { at: number; wallClockAt: number }>();
  /** Since when we have been listening without a pause, by the sweeps' clock. */
  #listeningSince: number | undefined;
  #lastSweep: number | undefined;
  /** When a sweep first found the node in the state that began `since`: for states that begin without a heartbeat. */
  readonly #waiting = new Map<Mac, { since: number; from: number }>();
  readonly #arriving = new Set<Mac>();

  constructor(options: { cache: Cache; transact: Transact; now: () => number; addEvent: (event: NewEvent) => void }) {
    this.#cache = options.cache;
    this.#transact = options.transact;
    this.#now = options.now;
    this.#addEvent = options.addEvent;
  }

  at(mac: Mac): number | undefined {
    return this.#heard.get(mac)?.at;
  }

  wallClockAt(mac: Mac): number | undefined {
    return this.#heard.get(mac)?.wallClockAt;
  }

  heard(mac: Mac, at: number): void {
    const node = this.#cache.get('nodes', mac);
    if (node === undefined) return;
    this.#heard.set(mac, { at, wallClockAt: this.#now() });
    if (nextState(node.state, 'heartbeat') === node.state || this.#arriving.has(mac)) return;
    this.#arriving.add(mac);
    this.#transact((transaction) =>
      decideStep(transaction, { mac, event: 'heartbeat', now: this.#now(), reason: 'heartbeat' }),
    )
      // Not stored: the next heartbeat tries again. That the disk is full was said once for all boards.
      .catch((error: unknown) => {
        if (!isFull(error))
          this.#addEvent({ kind: 'controller', subject: mac, message: `cannot mark it ready: ${String(error)}` });
      })
      .finally(() => this.#arriving.delete(mac));
  }

  async sweep(now: number): Promise<void> {
    const paused = this.#lastSweep === undefined || now - this.#lastSweep > pauseMs || now < this.#lastSweep;
    if (paused) this.#listeningSince = now;
    this.#lastSweep = now;
    const due = [...this.#cache.all('nodes').values()].filter((node) => this.#due(node, now) !== undefined);
    for (const mac of this.#heard.keys()) if (this.#cache.get('nodes', mac) === undefined) this.#heard.delete(mac);
    if (due.length === 0) return;
    await this.#transact((transaction) => {
      for (const { mac } of due) {
        // Looked at again: while this waited for its turn a heartbeat may have come.
        const node = transaction.get('nodes', mac);
        const event = node === undefined ? undefined : this.#due(node, now);
        if (event === undefined) continue;
        const limitMs = event === 'loss' ? lostAfterMs : silentAfterMs;
        decideStep(transaction, { mac, event, now: this.#now(), reason: `no heartbeat for ${limitMs / 1000} s` });
      }
    });
  }

  #due(node: NodeDocument, now: number): LifeCycleEvent | undefined {
    const quietMs = now - this.#quietFrom(node, now);
    const event = quietMs >= lostAfterMs ? 'loss' : quietMs >= silentAfterMs ? 'silence' : undefined;
    // Who has not joined is not expected to be heard, and who is lost already cannot fall silent.
    return event === undefined || !isPossible(node.state, event) ? undefined : event;
  }

  #quietFrom({ mac, state, since }: NodeDocument, now: number): number {
    const from = Math.max(this.#heard.get(mac)?.at ?? -Infinity, this.#listeningSince ?? now);
    if (state !== 'joining') return from;
    const waiting = this.#waiting.get(mac);
    if (waiting?.since === since) return Math.max(from, waiting.from);
    this.#waiting.set(mac, { since, from: now });
    return now;
  }
}
