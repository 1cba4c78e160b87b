// What the controller's end of the roll call knows, and what it decides. Neither socket nor clock nor disk: datagrams, what the
// inventory tells, and the time go in; actions come out, and `roll-call-loop.ts` does them. State lives in memory only: after a
// restart the next heartbeat, at most 750 ms away, brings back presence, nonces and sequences.
//
//   heartbeat, its session unknown or its signature wrong ─► nothing
//   heartbeat                    ─► heard, a permit, and each receipt of an order that stands and is not acknowledged
//   beacon                       ─► beacon
//   an order is given or lifted  ─► from now on permits read otherwise; who gets one at once is said with `permit`
//   pursuit                      ─► a permit to each node that has not acknowledged, or silence as its evidence
//
// Who may run is what the inventory says, less whom a standing order stops: an order needs no word about nodes.
import { createSecretKey, type KeyObject } from 'node:crypto';
import { decodeBeacon, isBeaconLength } from '../../../protocol/beacon.ts';
import { MalformedError } from '../../../protocol/bytes.ts';
import type { Mac } from '../../../protocol/mac.ts';
import {
  claimedSequence,
  claimedSession,
  decodeHeartbeat,
  encodePermit,
  everything,
  generationLimit,
  ordersPerPermitLimit,
  type PermittedCustomer,
} from '../../../protocol/roll-call.ts';
import { killResendMs, permitValidityMs, stopsByItselfMs } from '../../../protocol/timing.ts';
import { RateLimit } from '../../rate-limit.ts';
import { HeartbeatGate } from './heartbeat-gate.ts';
import {
  type Action,
  type Stopped,
  type GivenOrder,
  type Instant,
  type Overdue,
  type RollCallCounters,
  sinceGiven,
  type Told,
} from './roll-call-messages.ts';

interface Sender {
  address: string;
  port: number;
}

interface Datagram {
  bytes: Buffer;
  from: Sender;
}

/** What the last heartbeat of a session left behind. */
interface Peer extends Sender {
  sessionId: string;
  session: Buffer;
  key: KeyObject;
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

interface Node {
  mac: Mac;
  session: { id: string; key: Uint8Array } | undefined;
  generation: bigint;
  customers: readonly PermittedCustomer[];
  /** By any session that it had. */
  heardAt: number | undefined;
  peer: Peer | undefined;
}

interface Order extends GivenOrder {
  /** Nodes whose evidence is not on disk: until then permits ask for it. */
  unstored: Set<Mac>;
  /** Nodes that have not acknowledged. All of them are in `unstored`, too. */
  open: Set<Mac>;
  /** Nodes for which a permit that follows the order has left. */
  sent: Set<Mac>;
}

/** A pause of ours this long may have cost datagrams: the socket's buffer holds a few seconds of a whole rack. */
const stallMs = 1_000;

/** A node whose last permit left this lately is not sent another by a pursuit: its answer may be on the way. */
const resendGapMs = killResendMs / 2;

/** A node that says it obeyed a permit beyond this lies: no controller counts so far. */
const honestLimit = 1n << 63n;

/** Of all senders: a rack's beacons are one a second each, and nothing rests on them. */
const beaconBudget = { burst: 2_000, perSecond: 2_000 };

export class RollCallState {
  readonly counters: RollCallCounters = { beacons: 0, heartbeats: 0, permits: 0, refused: 0, sendErrors: 0 };
  readonly #epoch: number;
  readonly #startedAt: number;
  readonly #nodes = new Map<Mac, Node>();
  readonly #bySession = new Map<string, Node>();
  /** The standing ones, by number. */
  readonly #orders = new Map<number, Order>();
  readonly #gate: HeartbeatGate;
  readonly #beacons: RateLimit;
  #holding: readonly string[] = [];
  #permits = 0n;
  #time: Instant;
  #listeningSince: number;
  #lastListenAt: number;

  constructor({ epoch, time }: { epoch: number; time: Instant }) {
    this.#epoch = epoch;
    this.#time = time;
    this.#startedAt = time.now;
    this.#listeningSince = time.now;
    this.#lastListenAt = time.now;
    const now = () => this.#time.now;
    this.#gate = new HeartbeatGate(now);
    this.#beacons = new RateLimit({ ...beaconBudget, now });
  }

  /** Since when it listens without a pause of a second or more. */
  get listeningSince(): number {
    return this.#listeningSince;
  }

  tell(told: Told): void {
    switch (told.type) {
      case 'node':
        return this.#tellNode(told);
      case 'removed': {
        const node = this.#nodes.get(told.mac);
        if (node?.session !== undefined) this.#bySession.delete(node.session.id);
        this.#nodes.delete(told.mac);
        return;
      }
      case 'holding':
        this.#holding = told.customers;
        return;
      case 'given': {
        const { targets, number } = told.order;
        this.#orders.set(number, {
          ...told.order,
          unstored: new Set(targets),
          open: new Set(targets),
          sent: new Set(),
        });
        return;
      }
      case 'lifted':
        this.#orders.delete(told.number);
        return;
      case 'evidence': {
        const order = this.#orders.get(told.number);
        if (order === undefined || !order.unstored.has(told.mac)) return;
        if (told.is === 'open') order.open.add(told.mac);
        else order.open.delete(told.mac);
        if (told.is === 'stored') order.unstored.delete(told.mac);
        return;
      }
    }
  }

  #tellNode({ mac, session, generation, customers }: Told & { type: 'node' }): void {
    const known = this.#nodes.get(mac);
    if (known?.session !== undefined && known.session.id !== session?.id) this.#bySession.delete(known.session.id);
    const node = known ?? { mac, session, generation, customers, heardAt: undefined, peer: undefined };
    if (known !== undefined) Object.assign(known, { session, generation, customers });
    else this.#nodes.set(mac, node);
    if (session !== undefined) this.#bySession.set(session.id, node);
  }

  hear({ bytes, from }: Datagram, time: Instant): Action[] {
    this.#time = time;
    // Nobody can be answered at port 0.
    if (from.port === 0) return this.#refused();
    const session = claimedSession(bytes);
    try {
      if (session !== undefined) return this.#hearHeartbeat(session.toString('hex'), { bytes, from });
      // The cheapest first: what is neither a heartbeat's nor a beacon's length costs no error either.
      if (!isBeaconLength(bytes.length) || !this.#beacons.admit()) return this.#refused();
      this.counters.beacons++;
      return [{ type: 'beacon', ip: from.address, uuid: decodeBeacon(bytes).uuid.toString('hex') }];
    } catch (error) {
      // Anybody on the segment can send anything here: refused and counted, never more.
      if (!(error instanceof MalformedError)) throw error;
      return this.#refused();
    }
  }

  #refused(): Action[] {
    this.counters.refused++;
    return [];
  }

  #hearHeartbeat(sessionId: string, { bytes, from }: Datagram): Action[] {
    const node = this.#bySession.get(sessionId);
    if (node?.session === undefined) return this.#refused();
    const known = node.peer?.sessionId === sessionId ? node.peer : undefined;
    const claimed = { sessionId, address: from.address, port: from.port, sequence: claimedSequence(bytes) };
    if (!this.#gate.admits(claimed, known)) return this.#refused();
    const key = known?.key ?? createSecretKey(node.session.key);
    const heartbeat = decodeHeartbeat(bytes, key);
    this.#gate.wasGenuine(claimed);
    this.counters.heartbeats++;
    const { mac } = node;
    const { now } = this.#time;
    const peer: Peer = {
      sessionId,
      session: Buffer.from(heartbeat.session),
      key,
      address: from.address,
      port: from.port,
      nonce: Buffer.from(heartbeat.nonce),
      sequence: heartbeat.sequence,
      heardAt: now,
      permitAt: 0,
      base: known?.base ?? this.#baseFor(heartbeat.permitSequence),
      obeyed: heartbeat.permitSequence,
      asked: known?.asked ?? new Map<number, number>(),
      held: known?.held ?? new Map<string, bigint>(),
    };
    for (const [customer, listedBy] of peer.held) if (heartbeat.permitSequence > listedBy) peer.held.delete(customer);
    node.peer = peer;
    node.heardAt = now;
    // It had applied that before a backup was put back: the inventory counts on from there too when it hears of it.
    if (heartbeat.generation > node.generation && heartbeat.generation < generationLimit)
      node.generation = heartbeat.generation + 1n;
    // What was sent to an earlier process has a right signature, and its sequence may be new to us.
    const isReplay = heartbeat.permitSequence <= peer.base;
    const actions: Action[] = [{ type: 'heard', mac, at: now, isReplay, generation: heartbeat.generation }];
    actions.push(...this.#permit(node));
    const signed =
      heartbeat.receipts.length === 0 ? undefined : { session: sessionId, datagram: new Uint8Array(bytes) };
    for (const receipt of heartbeat.receipts) {
      const order = this.#orders.get(Number(receipt.order));
      if (order !== undefined)
        actions.push(...this.#countStopped(order, { mac, evidence: 'receipt', receipt, signed }));
    }
    return actions;
  }

  /**
   * Above whatever an earlier process sent: the epoch sees to that. Where the state came back from a backup, this epoch and
   * later ones were there before, and the node would take our permits for replays: it says what it has obeyed.
   */
  #baseFor(obeyed: bigint): bigint {
    const ours = BigInt(this.#epoch) << 40n;
    return obeyed > ours && obeyed < honestLimit ? obeyed : ours;
  }

  /** A fresh permit, where the node has been heard. */
  permit(mac: Mac, time: Instant): Action[] {
    this.#time = time;
    const node = this.#nodes.get(mac);
    return node === undefined ? [] : this.#permit(node);
  }

  #permit(node: Node): Action[] {
    const { peer, mac } = node;
    // A board that started again has a new session: what the old one hears no longer matters.
    if (peer === undefined || node.session?.id !== peer.sessionId) return [];
    const { now } = this.#time;
    const pending = this.#pending(mac);
    const asked = pending.slice(0, ordersPerPermitLimit);
    peer.asked = new Map(asked.map(({ number }) => [number, peer.asked.get(number) ?? now]));
    const sequence = peer.base + ++this.#permits;
    const customers = node.customers.filter(({ customer }) => !this.#isStopped(customer));
    const permit = {
      session: peer.session,
      sequence,
      nonce: peer.nonce,
      generation: node.generation,
      validityMs: permitValidityMs,
      customers,
      orders: asked.map(({ number, scope }) => ({ order: BigInt(number), scope })),
    };
    for (const { customer, hold } of customers) if (hold) peer.held.set(customer, sequence);
    this.counters.permits++;
    peer.permitAt = now;
    const bytes = encodePermit(permit, peer.key);
    const actions: Action[] = [{ type: 'send', bytes, address: peer.address, port: peer.port }];
    for (const order of pending) {
      if (order.sent.has(mac)) continue;
      order.sent.add(mac);
      actions.push({ type: 'sent', number: order.number, mac, afterMs: this.#sinceGiven(order) });
    }
    return actions;
  }

  #isStopped(customer: string): boolean {
    for (const { scope } of this.#orders.values()) if (scope === everything || scope === customer) return true;
    return false;
  }

  /** Oldest first. */
  #pending(mac: Mac): Order[] {
    if (this.#orders.size === 0) return [];
    const pending = [...this.#orders.values()].filter(({ unstored }) => unstored.has(mac));
    return pending.length < 2 ? pending : pending.toSorted((a, b) => a.number - b.number);
  }

  #unacknowledged(mac: Mac): Order[] {
    return this.#pending(mac).filter(({ open }) => open.has(mac));
  }

  #sinceGiven(order: GivenOrder): number {
    return tenths(sinceGiven(order, { startedAt: this.#startedAt, time: this.#time }));
  }

  /** Told once: what the node goes on repeating until it is stored counts already. */
  #countStopped(
    order: Order,
    {
      mac,
      evidence,
      receipt,
      signed,
    }: Pick<Stopped, 'mac' | 'evidence'> & Partial<Pick<Stopped, 'receipt' | 'signed'>>,
  ): Action[] {
    if (!order.open.delete(mac)) return [];
    const evidenceAfterMs = this.#sinceGiven(order);
    return [{ type: 'stopped', number: order.number, mac, evidence, evidenceAfterMs, receipt, signed }];
  }

  /** Every `killResendMs`, before a pursuit: notices a pause of ours. */
  listen({ now }: Instant): void {
    if (now - this.#lastListenAt > stallMs) this.#listeningSince = now;
    this.#lastListenAt = now;
  }

  /** The nodes that have not acknowledged a standing order. */
  unacknowledgedNodes(): Mac[] {
    const macs = new Set<Mac>();
    for (const { open } of this.#orders.values()) for (const mac of open) if (this.#nodes.has(mac)) macs.add(mac);
    return [...macs];
  }

  /** Another permit where one is due, or `quiet`: nothing was heard of it for so long that it may have stopped by itself. */
  pursue(mac: Mac, time: Instant): Action[] | 'quiet' {
    this.#time = time;
    const node = this.#nodes.get(mac);
    if (node === undefined) return [];
    if (time.now - this.#heardAt(node) >= stopsByItselfMs) return 'quiet';
    const isDue = node.peer !== undefined && time.now - node.peer.permitAt >= resendGapMs;
    return isDue && this.#unacknowledged(mac).length > 0 ? this.#permit(node) : [];
  }

  /** Of a quiet node, when all is read that had arrived at `readUpTo`. */
  judgeSilence(mac: Mac, { readUpTo, time }: { readUpTo: number; time: Instant }): Action[] {
    this.#time = time;
    const node = this.#nodes.get(mac);
    if (node === undefined || readUpTo - this.#heardAt(node) < stopsByItselfMs) return [];
    return this.#unacknowledged(mac).flatMap((order) =>
      this.mayHold(mac, order.scope) ? [] : this.#countStopped(order, { mac, evidence: 'silence' }),
    );
  }

  /** Our own deafness is never taken for a node's silence. */
  #heardAt(node: Node): number {
    return Math.max(node.heardAt ?? this.#listeningSince, this.#listeningSince);
  }

  /**
   * Silence of that node proves nothing for an order of that scope: a customer that holds on silence may run there. Where its
   * instance is placed by now says nothing about a node that nobody reaches; what it was permitted does. Permits of an earlier
   * process are not known here.
   */
  mayHold(mac: Mac, scope: string): boolean {
    const isCovered = (customer: string) => scope === everything || scope === customer;
    const node = this.#nodes.get(mac);
    const peer = node?.peer;
    const isKnown = peer !== undefined && peer.sessionId === node?.session?.id && peer.obeyed > peer.base;
    return isKnown ? [...peer.held.keys()].some(isCovered) : this.#holding.some(isCovered);
  }

  /** Since when this node is asked to acknowledge that order; undefined while it waits for its place, -Infinity where nobody hears. */
  askedSince(mac: Mac, number: number): number | undefined {
    const node = this.#nodes.get(mac);
    if (node?.peer === undefined || node.peer.sessionId !== node.session?.id) return -Infinity;
    return node.peer.asked.get(number);
  }

  /** What nodes have not acknowledged of orders that were given this long ago. */
  overdue(afterMs: number, time: Instant): Overdue[] {
    this.#time = time;
    const old = [...this.#orders.values()].filter((order) => order.open.size > 0 && this.#sinceGiven(order) >= afterMs);
    return old.flatMap(({ number, scope, open }) =>
      [...open].flatMap((mac) =>
        this.#nodes.has(mac)
          ? { mac, number, scope, askedSince: this.askedSince(mac, number), mayHold: this.mayHold(mac, scope) }
          : [],
      ),
    );
  }
}

function tenths(ms: number): number {
  return Math.round(10 * ms) / 10;
}
