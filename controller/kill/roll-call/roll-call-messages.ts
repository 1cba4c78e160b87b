// What goes into the roll call and comes out of it, see `roll-call-state.ts`. All of it can be handed to another thread.
import type { Evidence } from '../../../protocol/api/orders.ts';
import type { Mac } from '../../../protocol/mac.ts';
import type { PermittedCustomer, Receipt } from '../../../protocol/roll-call.ts';

export interface RollCallCounters {
  beacons: number;
  heartbeats: number;
  permits: number;
  refused: number;
  sendErrors: number;
}

/** Of one step. */
export interface Instant {
  /** Monotonic ms. */
  now: number;
  /** Ms since 1970. */
  wall: number;
}

/** The evidence that a node has stopped for an order: on disk, counted and not on disk yet, or none. */
export type EvidenceState = 'stored' | 'counted' | 'open';

/** What the inventory tells, in the order in which it became so. */
export type Told =
  /** Whoever has that MAC address; without a session nobody is answered. */
  | {
      type: 'node';
      mac: Mac;
      session: { id: string; key: Uint8Array } | undefined;
      generation: bigint;
      customers: readonly PermittedCustomer[];
    }
  | { type: 'removed'; mac: Mac }
  /** The customers that run on when their node hears nothing. */
  | { type: 'holding'; customers: readonly string[] }
  | { type: 'given'; order: GivenOrder }
  | { type: 'lifted'; number: number }
  | { type: 'evidence'; number: number; mac: Mac; is: EvidenceState };

export interface GivenOrder {
  number: number;
  /** A customer's name, or `*`. */
  scope: string;
  targets: readonly Mac[];
  /** By the wall clock. */
  at: number;
  /** By the monotonic clock; undefined for an order of an earlier process. */
  since: number | undefined;
}

export type Action =
  | { type: 'send'; bytes: Buffer; address: string; port: number }
  /** Of a node's genuine heartbeat. `isReplay`: it answers no permit of this process. */
  | { type: 'heard'; mac: Mac; at: number; isReplay: boolean; generation: bigint }
  /** The first permit that follows that order has left for that node. Before any evidence of it. */
  | { type: 'sent'; number: number; mac: Mac; afterMs: number }
  | Stopped
  | { type: 'beacon'; ip: string; uuid: string };

export interface Stopped {
  type: 'stopped';
  number: number;
  mac: Mac;
  evidence: Extract<Evidence, 'receipt' | 'silence'>;
  evidenceAfterMs: number;
  receipt: Receipt | undefined;
  /** The datagram with the receipt in it, as it came, and the session that signed it. */
  signed: { session: string; datagram: Uint8Array } | undefined;
}

/** All that is no datagram: for the inventory to know. */
export type Report = Exclude<Action, { type: 'send' }>;

/** A thread that loses the processor between two readings takes some ms more for them, hardly ever each time. */
const clockReadings = 16;

/**
 * ns of `hrtime` at which `now`, ms, was zero. Both read one clock from different starts. Never early, and late by the least
 * time that passed between two readings.
 */
export function clockOrigin({ now, hrtime }: { now: () => number; hrtime: () => bigint }): bigint {
  let origin: bigint | undefined;
  for (let reading = 0; reading < clockReadings; reading++) {
    const sinceOrigin = BigInt(Math.round(now() * 1e6));
    const found = hrtime() - sinceOrigin;
    if (origin === undefined || found < origin) origin = found;
  }
  return origin ?? 0n;
}

/**
 * ms, not negative: two threads read their clocks some µs apart. For an order of an earlier process by the wall clock, which
 * may have been set back: at least as long as this process runs.
 */
export function sinceGiven(
  { at, since }: Pick<GivenOrder, 'at' | 'since'>,
  { startedAt, time }: { startedAt: number; time: Instant },
): number {
  return Math.max(0, since === undefined ? Math.max(time.now - startedAt, time.wall - at) : time.now - since);
}

/** An order that a node has not acknowledged, for the escalation. */
export interface Overdue {
  mac: Mac;
  number: number;
  scope: string;
  /** Monotonic ms; undefined while it waits for its place in the permit, -Infinity where nobody hears. */
  askedSince: number | undefined;
  /** Silence of that node proves nothing for it: a customer that holds on silence may run there. */
  mayHold: boolean;
}
