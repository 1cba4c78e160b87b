// The controller's end of the roll call: one UDP socket that hears beacons and heartbeats and answers each heartbeat
// with a permit. A kill order is a permit that no longer lists the customer, sent at once and every 100 ms to each
// node that has not acknowledged.
//
//   inventory ─► roll-call-feed ─► roll-call-state ─► roll-call-loop ─► socket
//             ◄─ what was heard ◄─────────────────────────┘
import type { Mac } from '../../../protocol/mac.ts';
import type { OrderDocument } from '../../../inventory/store/documents.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import { RollCallFeed } from './roll-call-feed.ts';
import { type RollCallSocket, startRollCallLoop } from './roll-call-loop.ts';
import { type RollCallCounters, sinceGiven } from './roll-call-messages.ts';

export interface RollCall {
  readonly counters: RollCallCounters;
  /** A fresh permit to each node now, for an order that was just given. */
  enforce(macs: Iterable<Mac>): void;
  /** Everything that it was told until now is in the permits that leave from now on. */
  taken(): Promise<void>;
  /** From now on counts the time of this order. */
  orderGiven(order: OrderDocument): void;
  /**
   * Since it was given: ms, by the monotonic clock. For an order of an earlier process by the wall clock, which may have been
   * set back: at least as long as this process runs.
   */
  sinceGiven(order: OrderDocument): number;
  /** ms since this process began to listen, or since its last pause of a second or more. */
  listeningForMs(): number;
  /** ms since this node was first asked to acknowledge that order, 0 while it waits for its place; Infinity where nobody hears. */
  askedForMs(mac: Mac, order: number): number;
  /** Silence of that node proves nothing for an order of that scope: a customer that holds on silence may run there. */
  mayHold(mac: Mac, scope: string): boolean;
  /** Monotonic ms: what was heard until then, the inventory knows. */
  heardUpTo(): number;
}

/** In this thread, without a timer of its own. */
export interface LocalRollCall extends RollCall {
  /** Resends to the unacknowledged, and counts a node as stopped whose silence proves it. Called every `killResendMs`. */
  pursue(): Promise<void>;
}

export function startRollCall({
  socket,
  inventory,
  now,
  wallClock,
  nextTurn,
  onFailure,
}: {
  socket: RollCallSocket;
  inventory: Inventory;
  /** Monotonic ms. */
  now: () => number;
  /** Ms since 1970. */
  wallClock: () => number;
  /** Resolves when the event loop has read what its sockets had: `setImmediate`. */
  nextTurn: () => Promise<void>;
  /** A write that failed: the receipt stays unacknowledged and the node will repeat it. */
  onFailure: (error: unknown) => void;
}): LocalRollCall {
  const time = () => ({ now: now(), wall: wallClock() });
  const startedAt = now();
  const { state, ...loop } = startRollCallLoop({
    socket,
    epoch: inventory.epoch,
    report: (report) => feed.heard(report),
    time,
    nextTurn,
  });
  const feed = new RollCallFeed({ inventory, tell: (told) => loop.tell(told), onFailure });

  return {
    counters: state.counters,
    orderGiven: (order) => feed.given(order, now()),
    sinceGiven: ({ number, at }) => sinceGiven({ at, since: feed.givenAt(number) }, { startedAt, time: time() }),
    listeningForMs: () => now() - state.listeningSince,
    askedForMs: (mac, number) => now() - (state.askedSince(mac, number) ?? now()),
    mayHold: (mac, scope) => state.mayHold(mac, scope),
    heardUpTo: now,
    taken: () => Promise.resolve(),
    enforce: (macs) => {
      feed.look();
      loop.enforce(macs);
    },
    pursue: () => {
      feed.look();
      return loop.pursue();
    },
  };
}
