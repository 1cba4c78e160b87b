// Judges a run while it goes on. It reads each permit as the agent reads it and keeps its own account of who may run until
// when, from the rules of docs/PROTOCOL.md and not from the code under test.
import type { KeyObject } from 'node:crypto';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { MalformedError } from '../../protocol/bytes.ts';
import { decodePermit, everything, type Permit } from '../../protocol/roll-call.ts';
import { boundMs, killWorkMs } from '../../protocol/timing.ts';
import type { Datagram } from './network.ts';
import type { Timeline } from './timeline.ts';

/** The permit of docs/PROTOCOL.md, stated here again: a change of the constant must not change what is checked. */
const permitMs = 3_000;
/** Timers of whole ms, and the leash's hundredths. */
const slackMs = 20;
/** A board that wakes must have stopped whom it must stop before anything else runs for long. */
const wakeMs = 50;

interface Grant {
  untilMs: number;
  hold: boolean;
  /** The life of the agent that read it: `hold` ends with that. */
  life: number;
  /** When it came back after it had run out: whoever acted on the old one at that moment was right. */
  revivedAt: number;
}

interface Account {
  session: string;
  key: KeyObject;
  life: number;
  sequence: bigint;
  nonces: Map<string, number>;
  grants: Map<string, Grant>;
  /** When a permit first told it of an order. */
  orders: Map<number, number>;
}

export interface AcceptedOrder {
  number: number;
  scope: string;
  acceptedAt: number;
}

/** What it sees of a board. */
export interface JudgedBoard {
  readonly name: string;
  readonly mac: string;
  readonly groups: ReadonlyMap<string, { customer: string; running: boolean; dying: boolean }>;
  readonly saved: { key: KeyObject } | undefined;
  readonly agent: { isVouching: boolean } | undefined;
  readonly isFaulty: boolean;
  readonly isHung: boolean;
  readonly hungUntil: number;
}

/** What it sees of everything else. */
export interface JudgedWorld {
  readonly timeline: Timeline;
  readonly boards: readonly JudgedBoard[];
  readonly controller: { inventory: Inventory | undefined } | undefined;
  holds(customer: string): boolean;
  mustNotStop(board: JudgedBoard, customer: string): boolean;
}

export class Referee {
  readonly violations: string[] = [];
  /** Orders that stand and whose giver was told so. */
  readonly standing = new Map<number, AcceptedOrder>();
  /** Acceptance to the last process gone, of every order that was looked at, ms. */
  readonly counts = { receipts: 0, silences: 0, starts: 0, stops: 0, permitsRead: 0, checks: 0 };
  slowestStopMs = 0;
  readonly #world: JudgedWorld;
  readonly #accounts = new Map<JudgedBoard, Account>();

  constructor(world: JudgedWorld) {
    this.#world = world;
  }

  violated(what: string): void {
    this.#world.timeline.tell('VIOLATION', what);
    if (this.violations.length < 20) this.violations.push(`${(this.#now / 1000).toFixed(3)} s: ${what}`);
  }

  get #now(): number {
    return this.#world.timeline.now;
  }

  // ---- what the wire and the agents do

  newSession(board: JudgedBoard, session: string): void {
    const key = board.saved?.key;
    if (key === undefined) return;
    const empty = { sequence: 0n, nonces: new Map(), grants: new Map(), orders: new Map(), life: 0 };
    this.#accounts.set(board, { session, key, ...empty });
  }

  newAgent(board: JudgedBoard): void {
    const account = this.#accounts.get(board);
    if (account === undefined) return;
    account.life++;
    account.sequence = 0n;
    account.nonces.clear();
    account.orders.clear();
  }

  nonceSent(board: JudgedBoard, nonce: string): void {
    const nonces = this.#accounts.get(board)?.nonces;
    if (nonces === undefined) return;
    nonces.set(nonce, this.#now);
    if (nonces.size > 300) for (const [each, at] of nonces) if (this.#now - at > permitMs) nonces.delete(each);
  }

  /** The agent is about to read this. */
  read(board: JudgedBoard, { bytes, genuine }: Datagram): void {
    const account = this.#accounts.get(board);
    if (account === undefined || !genuine) return;
    const permit = decoded(bytes, account.key);
    if (permit === undefined || permit.session.toString('hex') !== account.session) return;
    if (permit.sequence <= account.sequence) return;
    account.sequence = permit.sequence;
    this.counts.permitsRead++;
    for (const { order } of permit.orders)
      if (!account.orders.has(Number(order))) account.orders.set(Number(order), this.#now);
    const ordered = (customer: string): boolean =>
      permit.orders.some(({ scope }) => scope === everything || scope === customer);
    const listed = permit.customers.filter(({ customer }) => !ordered(customer));
    for (const [customer, grant] of account.grants) {
      const may = listed.find((each) => each.customer === customer);
      if (may === undefined) account.grants.delete(customer);
      else grant.hold &&= may.hold;
    }
    const sentAt = account.nonces.get(permit.nonce.toString('hex'));
    const untilMs = (sentAt ?? -Infinity) + Math.min(permit.validityMs, permitMs);
    if (untilMs <= this.#now) return;
    for (const { customer, hold } of listed) {
      const known = account.grants.get(customer);
      const hadRunOut = (known?.untilMs ?? 0) <= this.#now + slackMs;
      const revivedAt = hadRunOut ? this.#now : (known?.revivedAt ?? 0);
      account.grants.set(customer, {
        untilMs: Math.max(untilMs, known?.untilMs ?? 0),
        hold,
        life: account.life,
        revivedAt,
      });
    }
  }

  /** Invariant 5: nothing but a fresh permit for this board extends anything. */
  vouched(board: JudgedBoard, { customer, untilMs }: { customer: string; untilMs: number }): void {
    if (untilMs === 0) return;
    const account = this.#accounts.get(board);
    const grant = account?.grants.get(customer);
    const holds = grant?.hold === true && grant.life === account?.life && untilMs <= this.#now + permitMs + 0.01;
    if (grant === undefined || (untilMs > grant.untilMs + 0.01 && !holds))
      this.violated(
        `5: ${board.name} vouches for ${customer} until ${untilMs.toFixed(1)}, its permits allow ${grant?.untilMs.toFixed(1) ?? 'nothing'}`,
      );
  }

  allowed(board: JudgedBoard, customer: string): void {
    const grant = this.#accounts.get(board)?.grants.get(customer);
    if (grant === undefined || grant.untilMs <= this.#now - 0.01)
      this.violated(`5: ${board.name} lets ${customer} run without a permit that lasts`);
  }

  /** A permit leaves the controller. */
  sent(board: JudgedBoard, { inventory, permit }: { inventory: Inventory; permit: Permit }): void {
    const listed = new Set(permit.customers.map(({ customer }) => customer));
    for (const customer of listed) {
      const order = this.#orderFor(customer);
      if (order !== undefined)
        this.violated(`1: a permit for ${board.name} lists ${customer} after order ${order.number} was accepted`);
    }
    for (const { customer } of inventory.instances.on(board.mac))
      if (!listed.has(customer) && inventory.orders.killedBy(customer) === undefined)
        this.violated(`2: a permit for ${board.name} leaves out ${customer}, which no order stops`);
  }

  // ---- what the customers' processes do

  started(board: JudgedBoard, customer: string): void {
    this.counts.starts++;
    this.#check(board, { customer, does: 'starts' });
  }

  /** Invariant 2: a running customer gets a SIGKILL. */
  stopping(board: JudgedBoard, { customer, by }: { customer: string; by: string }): void {
    this.counts.stops++;
    if (board.isFaulty) return;
    const account = this.#accounts.get(board);
    const grant = account?.grants.get(customer);
    if (grant !== undefined && this.#now - grant.revivedAt < slackMs) return;
    if (grant !== undefined && grant.hold && grant.life === account?.life && board.agent?.isVouching === true)
      this.violated(`2: ${by} stops ${customer} on ${board.name}, which holds on silence and may run`);
    else if (grant !== undefined && grant.untilMs > this.#now + slackMs)
      this.violated(
        `2: ${by} stops ${customer} on ${board.name}, permitted for ${(grant.untilMs - this.#now).toFixed(1)} ms more`,
      );
    else if (this.#world.mustNotStop(board, customer) && this.#orderStored(customer) === undefined)
      this.violated(`2: ${by} stops ${customer} on ${board.name} in fair weather`);
  }

  // ---- what the controller says

  accepted({ number, scope }: OrderDocument): void {
    const order = { number, scope, acceptedAt: this.#now };
    this.standing.set(number, order);
    this.#world.timeline.tell('operator', `order ${number} for ${scope} is accepted`);
    this.#world.timeline.after(boundMs, () => this.#checkAll(order));
  }

  lifted(number: number): void {
    this.standing.delete(number);
    this.#world.timeline.tell('operator', `order ${number} is lifted`);
  }

  /** Invariant 3: about to be written down as stopped. */
  counted(order: OrderDocument | undefined, { mac, evidence }: { mac: string; evidence: string }): void {
    if (order === undefined) return;
    if (evidence === 'silence') this.counts.silences++;
    else this.counts.receipts++;
    const board = this.#world.boards.find((each) => each.mac === mac);
    for (const { customer, running } of board?.groups.values() ?? [])
      if (running && (order.scope === everything || order.scope === customer))
        this.violated(
          `3: order ${order.number} counts ${board?.name ?? mac} as stopped by ${evidence}, ${customer} runs`,
        );
  }

  #orderFor(customer: string): AcceptedOrder | undefined {
    for (const order of this.standing.values())
      if (order.scope === everything || order.scope === customer) return order;
    return undefined;
  }

  /** Also one that is on disk while its giver still waits. */
  #orderStored(customer: string): number | undefined {
    return this.#world.controller?.inventory?.orders.killedBy(customer);
  }

  /** Invariant 1, five seconds after acceptance, for every board. */
  #checkAll(order: AcceptedOrder): void {
    if (this.standing.get(order.number) !== order) return;
    this.counts.checks++;
    for (const board of this.#world.boards)
      for (const { customer } of board.groups.values())
        if (order.scope === everything || order.scope === customer) this.#check(board, { customer, does: 'runs' });
  }

  #check(board: JudgedBoard, { customer, does }: { customer: string; does: string }): void {
    const order = this.#orderFor(customer);
    const group = board.groups.get(customer);
    if (order === undefined || group?.running !== true || this.#now < order.acceptedAt + boundMs) return;
    if (board.isHung || this.#now < board.hungUntil + wakeMs) {
      // Nothing runs while the kernel hangs. Its first act on waking is to stop.
      this.#world.timeline.after(wakeMs, () => this.#check(board, { customer, does }));
      return;
    }
    const wasHung = this.#now < board.hungUntil + 2 * wakeMs;
    if (group.dying && wasHung) return;
    if (this.#world.holds(customer)) {
      const heardAt = this.#accounts.get(board)?.orders.get(order.number);
      if (heardAt === undefined || this.#now < heardAt + killWorkMs + slackMs) return;
    }
    const lateMs = this.#now - order.acceptedAt;
    this.violated(`1: ${customer} ${does} on ${board.name} ${lateMs.toFixed(1)} ms after order ${order.number}`);
  }
}

function decoded(bytes: Buffer, key: KeyObject): Permit | undefined {
  try {
    return decodePermit(bytes, key);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
