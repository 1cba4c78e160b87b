// The controller's end of the roll call: one UDP socket that hears beacons and heartbeats and answers each heartbeat
// with a permit. A kill order is a permit that no longer lists the customer, sent at once and every 100 ms to each
// node that has not confirmed.
//
// Presence, nonces and sequences live in memory only: after a restart the next heartbeat, at most 750 ms away,
// brings them back, well inside the 3 s that a permit lasts.
import { createSecretKey, type KeyObject } from 'node:crypto';
import { decodeBeacon, isBeaconLength } from '../../protocol/beacon.ts';
import { MalformedError } from '../../protocol/bytes.ts';
import type { Mac } from '../../protocol/mac.ts';
import {
  claimedSequence,
  claimedSession,
  decodeHeartbeat,
  encodePermit,
  everything,
  ordersPerPermitLimit,
  type Heartbeat,
  type Receipt,
} from '../../protocol/roll-call.ts';
import { killResendMs, permitValidityMs, stopsByItselfMs } from '../../protocol/timing.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { SignedHeartbeat } from '../../inventory/orders/order-book.ts';
import { HeartbeatGate } from './heartbeat-gate.ts';
import { RateLimit } from '../rate-limit.ts';

/** What the last heartbeat of a session left behind. */
interface Peer {
  mac: Mac;
  sessionId: string;
  session: Buffer;
  key: KeyObject;
  address: string;
  port: number;
  nonce: Buffer;
  sequence: bigint;
  heardAt: number;
  /** Permits are numbered from here on. */
  base: bigint;
  /** When the last permit left. */
  permitAt: number;
  /** The newest permit that the node has obeyed. */
  obeyed: bigint;
  /** Since when permits ask for each order: they have room for sixteen. */
  asked: Map<number, number>;
  /** Customers that hold on silence and may run there, with the last permit that listed each. */
  held: Map<string, bigint>;
}

/** What the roll call needs of a UDP socket. */
export interface RollCallSocket {
  on(event: 'message', listener: (bytes: Buffer, from: { address: string; port: number }) => void): unknown;
  send(bytes: Buffer, port: number, address: string, callback: (error: Error | null) => void): void;
}

export interface RollCallCounters {
  beacons: number;
  heartbeats: number;
  permits: number;
  refused: number;
  sendErrors: number;
}

export interface RollCall {
  readonly counters: RollCallCounters;
  /** A fresh permit to each node now, for an order that was just given. */
  enforce(macs: Iterable<Mac>): void;
  /** Resends to the unconfirmed, and counts a node as stopped whose silence proves it. Called every `killResendMs`. */
  pursue(): Promise<void>;
  /** From now on counts the time of this order. */
  orderGiven(order: OrderDocument): void;
  /**
   * Since it was given: ms, by the monotonic clock. For an order of an earlier process by the wall clock, which may have been
   * set back: at least as long as this process runs.
   */
  sinceGiven(order: OrderDocument): number;
  /** ms since this process began to listen, or since its last pause of a second or more. */
  listeningForMs(): number;
  /** ms since this node was first asked to confirm that order, 0 while it waits for its place; Infinity where nobody hears. */
  askedForMs(mac: Mac, order: number): number;
  /** Silence of that node proves nothing for an order of that scope: a customer that holds on silence may run there. */
  mayHold(mac: Mac, scope: string): boolean;
}

/** A pause of ours this long may have cost datagrams: the socket's buffer holds a few seconds of a whole rack. */
const stallMs = 1_000;

/** A node whose last permit left this lately is not sent another by a pursuit: its answer may be on the way. */
const resendGapMs = killResendMs / 2;

/** A node that says it obeyed a permit beyond this lies: no controller counts so far. */
const honestLimit = 1n << 63n;

/** Permits between two looks at the socket: receipts that wait there spare the permits that would ask for them. */
const permitBatch = 32;

/** Of all senders: a rack's beacons are one a second each, and nothing rests on them. */
const beaconBudget = { burst: 2_000, perSecond: 2_000 };

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
  /** A write that failed: the receipt stays unconfirmed and the node will repeat it. */
  onFailure: (error: unknown) => void;
}): RollCall {
  const startedAt = now();
  let listeningSince = startedAt;
  let lastPursuitAt = listeningSince;
  let pursuing = false;
  let received = 0;
  const peers = new Map<Mac, Peer>();
  const givenAt = new Map<number, number>();
  const counters = { beacons: 0, heartbeats: 0, permits: 0, refused: 0, sendErrors: 0 };
  /** Receipts being written: the node repeats them until a permit no longer asks. */
  const writing = new Set<string>();
  let permitCount = 0n;
  const gate = new HeartbeatGate(now);
  const beacons = new RateLimit({ ...beaconBudget, now });

  socket.on('message', (bytes, from) => {
    received++;
    // Nobody can be answered at port 0.
    if (from.port === 0) {
      counters.refused++;
      return;
    }
    const session = claimedSession(bytes);
    try {
      if (session !== undefined) hearHeartbeat(session.toString('hex'), bytes, from);
      // The cheapest first: what is neither a heartbeat's nor a beacon's length costs no error either.
      else if (!isBeaconLength(bytes.length) || !beacons.admit()) counters.refused++;
      else {
        counters.beacons++;
        inventory.nodes.beaconSeen({ ip: from.address, uuid: decodeBeacon(bytes).uuid.toString('hex') });
      }
    } catch (error) {
      // Anybody on the segment can send anything here: refused and counted, never more.
      if (!(error instanceof MalformedError)) throw error;
      counters.refused++;
    }
  });

  function hearHeartbeat(sessionId: string, bytes: Buffer, from: { address: string; port: number }): void {
    const session = inventory.nodes.session(sessionId);
    if (session === undefined) {
      counters.refused++;
      return;
    }
    const former = peers.get(session.mac);
    const known = former?.sessionId === sessionId ? former : undefined;
    const claimed = { sessionId, address: from.address, port: from.port, sequence: claimedSequence(bytes) };
    if (!gate.admits(claimed, known)) {
      counters.refused++;
      return;
    }
    const key = known?.key ?? createSecretKey(session.key);
    const heartbeat = decodeHeartbeat(bytes, key);
    gate.wasGenuine(claimed);
    counters.heartbeats++;
    const peer = {
      mac: session.mac,
      sessionId,
      session: Buffer.from(heartbeat.session),
      key,
      address: from.address,
      port: from.port,
      nonce: Buffer.from(heartbeat.nonce),
      sequence: heartbeat.sequence,
      heardAt: now(),
      permitAt: 0,
      base: known?.base ?? baseFor(heartbeat.permitSequence),
      obeyed: heartbeat.permitSequence,
      asked: known?.asked ?? new Map<number, number>(),
      held: known?.held ?? new Map<string, bigint>(),
    };
    for (const [customer, listedBy] of peer.held) if (heartbeat.permitSequence > listedBy) peer.held.delete(customer);
    peers.set(session.mac, peer);
    // What was sent to an earlier process has a right signature, and its sequence may be new to us.
    inventory.nodes.heartbeat(session.mac, now(), { isReplay: heartbeat.permitSequence <= peer.base });
    inventory.nodes.generationApplied(session.mac, heartbeat.generation);
    sendPermit(peer);
    hearReceipts(session.mac, heartbeat, { session: sessionId, datagram: bytes });
  }

  /**
   * Above whatever an earlier process sent: the epoch sees to that. Where the state came back from a backup, this epoch and
   * later ones were there before, and the node would take our permits for replays: it says what it has obeyed.
   */
  function baseFor(obeyed: bigint): bigint {
    const ours = BigInt(inventory.epoch) << 40n;
    return obeyed > ours && obeyed < honestLimit ? obeyed : ours;
  }

  function hearReceipts(mac: Mac, { receipts }: Heartbeat, signed: SignedHeartbeat): void {
    if (receipts.length === 0) return;
    const pending = inventory.orders.pending(mac);
    for (const receipt of receipts) {
      const order = pending.find(({ number }) => BigInt(number) === receipt.order);
      if (order !== undefined) confirm(order, mac, 'receipt', { receipt, signed });
    }
  }

  function confirm(
    order: OrderDocument,
    mac: Mac,
    evidence: 'receipt' | 'silence',
    said?: { receipt: Receipt; signed: SignedHeartbeat },
  ): void {
    const key = `${order.number} ${mac}`;
    if (writing.has(key)) return;
    writing.add(key);
    const facts = {
      evidence,
      confirmedAfterMs: tenths(sinceGiven(order)),
      stoppedAfterMs: said?.receipt.stoppedAfterMs ?? null,
      processes: said?.receipt.processes ?? 0,
    };
    inventory.orders
      .saveReceipt({ number: order.number, mac, receipt: facts, heartbeat: said?.signed })
      .catch(onFailure)
      .finally(() => writing.delete(key));
  }

  /** Nodes whose receipts are on their way to the disk need no further permit. */
  function isUnconfirmed(mac: Mac): boolean {
    return inventory.orders.unconfirmed(mac).length > 0;
  }

  function sinceGiven(order: OrderDocument): number {
    const at = givenAt.get(order.number);
    return at === undefined ? Math.max(now() - startedAt, wallClock() - order.at) : now() - at;
  }

  function sendPermit(peer: Peer): void {
    // A board that started again has a new session: what the old one hears no longer matters.
    if (inventory.nodes.sessionOf(peer.mac)?.id !== peer.sessionId) return;
    const pending = inventory.orders.pending(peer.mac);
    const asked = pending.slice(0, ordersPerPermitLimit);
    peer.asked = new Map(asked.map(({ number }) => [number, peer.asked.get(number) ?? now()]));
    const sequence = peer.base + ++permitCount;
    const permit = {
      session: peer.session,
      sequence,
      nonce: peer.nonce,
      generation: inventory.nodes.generation(peer.mac),
      validityMs: permitValidityMs,
      customers: inventory.nodes.permitted(peer.mac),
      orders: asked.map(({ number, scope }) => ({ order: BigInt(number), scope })),
    };
    for (const { customer, hold } of permit.customers) if (hold) peer.held.set(customer, sequence);
    counters.permits++;
    peer.permitAt = now();
    socket.send(encodePermit(permit, peer.key), peer.port, peer.address, (error) => {
      if (error) counters.sendErrors++;
    });
    for (const order of pending)
      if (inventory.orders.sentAfterMs(order.number, peer.mac) === null)
        inventory.orders.permitSent({ number: order.number, mac: peer.mac, afterMs: tenths(sinceGiven(order)) });
  }

  async function pursueAll(): Promise<void> {
    const quiet: Mac[] = [];
    let sent = 0;
    for (const mac of inventory.orders.unconfirmedNodes()) {
      const peer = peers.get(mac);
      if (now() - heardAt(mac) >= stopsByItselfMs) quiet.push(mac);
      else if (peer !== undefined && now() - peer.permitAt >= resendGapMs && isUnconfirmed(mac)) {
        sendPermit(peer);
        if (++sent % permitBatch === 0) await nextTurn();
      }
    }
    if (quiet.length === 0) return;
    const readUpTo = now();
    if (!(await drained())) return;
    for (const mac of quiet) {
      if (readUpTo - heardAt(mac) < stopsByItselfMs) continue;
      for (const order of inventory.orders.unconfirmed(mac))
        if (!mayHold(mac, order.scope)) confirm(order, mac, 'silence');
    }
  }

  /** Our own deafness is never taken for a node's silence. */
  function heardAt(mac: Mac): number {
    return Math.max(inventory.nodes.lastHeartbeatAt(mac) ?? listeningSince, listeningSince);
  }

  /**
   * Whether silence proves nothing: a customer that holds on silence may run there. Where its instance is placed by now says
   * nothing about a node that nobody reaches; what it was permitted does. Permits of an earlier process are not known here.
   */
  function mayHold(mac: Mac, scope: string): boolean {
    const isCovered = (customer: string) => scope === everything || scope === customer;
    const peer = peers.get(mac);
    const isKnown =
      peer !== undefined && peer.sessionId === inventory.nodes.sessionOf(mac)?.id && peer.obeyed > peer.base;
    if (isKnown) return [...peer.held.keys()].some(isCovered);
    return inventory.customers.all().some(({ name, onSilence }) => onSilence === 'hold' && isCovered(name));
  }

  function askedForMs(mac: Mac, order: number): number {
    const peer = peers.get(mac);
    if (peer === undefined || peer.sessionId !== inventory.nodes.sessionOf(mac)?.id) return Infinity;
    return now() - (peer.asked.get(order) ?? now());
  }

  /** True once a whole turn of the event loop brought no datagram: all that had arrived at the call has been read. */
  async function drained(): Promise<boolean> {
    for (let turns = 0; turns < 1_000; turns++) {
      const before = received;
      await nextTurn();
      if (received === before) return true;
    }
    return false;
  }

  return {
    counters,
    orderGiven: (order) => {
      for (const number of givenAt.keys()) if (inventory.orders.get(number)?.liftedAt !== null) givenAt.delete(number);
      for (const mac of peers.keys()) if (inventory.nodes.get(mac) === undefined) peers.delete(mac);
      givenAt.set(order.number, now());
    },
    sinceGiven,
    askedForMs,
    mayHold,
    listeningForMs: () => now() - listeningSince,
    enforce: (macs) => {
      for (const mac of macs) {
        const peer = peers.get(mac);
        if (peer !== undefined) sendPermit(peer);
      }
    },
    pursue: async () => {
      const at = now();
      if (at - lastPursuitAt > stallMs) listeningSince = at;
      lastPursuitAt = at;
      if (pursuing) return;
      pursuing = true;
      try {
        await pursueAll();
      } finally {
        pursuing = false;
      }
    },
  };
}

function tenths(ms: number): number {
  return Math.round(10 * ms) / 10;
}
