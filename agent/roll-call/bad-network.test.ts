// The keeper, a network that loses, delays, doubles and reorders, and a controller that changes its mind: whatever comes, nobody
// runs without a permit, nor after a kill beyond the bound.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OrderToAcknowledge, Permit, Receipt } from '../../protocol/roll-call.ts';
import { seededRandom } from '../../protocol/seeded-random.fixture.ts';
import { boundMs, heartbeatIntervalMs, permitValidityMs } from '../../protocol/timing.ts';
import { newKeeper, nextTickMs, receipts, step, type Action, type Keeper, type KeeperEvent } from './permit-keeper.ts';

const session = Buffer.alloc(16, 1);

function nonceOf(number: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(number);
  return bytes;
}

interface Weather {
  seed: number;
  random: () => number;
  chance: (share: number) => boolean;
  /** Share of datagrams, each way. */
  loss: number;
  /** Customers that run on in silence. */
  held: ReadonlySet<string>;
}

const names = ['acme', 'bolt', 'cube', 'dune'];

function weather(seed: number): Weather {
  const random = seededRandom(seed);
  const chance = (share: number): boolean => random() < share;
  return { seed, random, chance, held: new Set(chance(0.3) ? ['dune'] : []), loss: random() * 0.6 };
}

/** The real keeper, what it lets run, and beside it an account of what permits gave: who runs must be in both. */
class SimulatedNode {
  readonly #weather: Weather;
  readonly #granted = new Map<string, number>();
  readonly #sentAt = new Map<string, number>();
  #emptied: { at: number; orders: readonly bigint[] }[] = [];
  keeper: Keeper = newKeeper([], 0);
  readonly running = new Set<string>();

  constructor(given: Weather) {
    this.#weather = given;
  }

  beat(nowMs: number): Buffer {
    const nonce = nonceOf(nowMs + 1);
    this.#sentAt.set(nonce.toString('hex'), nowMs);
    this.feed({ type: 'sent', nonce, nowMs }, nowMs);
    return nonce;
  }

  /** The clock of the keeper's own timer, to the millisecond: what is due between two steps happens when it is due. */
  tick(nowMs: number): void {
    for (let due = nextTickMs(this.keeper); due !== undefined && due <= nowMs; due = nextTickMs(this.keeper))
      this.feed({ type: 'tick', nowMs: due }, due);
  }

  acknowledgeStops(nowMs: number): void {
    for (const { orders } of this.#emptied.filter(({ at }) => at <= nowMs))
      this.feed({ type: 'stopped', orders, stoppedAfterMs: 1, processes: 1 }, nowMs);
    this.#emptied = this.#emptied.filter(({ at }) => at > nowMs);
  }

  feed(event: KeeperEvent, nowMs: number): void {
    const { seed, held } = this.#weather;
    if (event.type === 'permit') this.#count(event.permit, nowMs);
    const next = step(this.keeper, event);
    this.keeper = next.keeper;
    for (const action of next.actions) this.#obey(action, nowMs);
    for (const name of this.running) {
      if (held.has(name)) continue;
      const untilMs = this.#granted.get(name) ?? -1;
      assert.ok(untilMs > nowMs, `seed ${seed}: ${name} runs at ${nowMs}, permitted until ${untilMs}`);
    }
    for (const name of names)
      assert.equal(this.running.has(name), this.keeper.customers.has(name), `seed ${seed}: ${name} at ${nowMs}`);
  }

  #count(given: Permit, nowMs: number): void {
    if (given.sequence <= this.keeper.permitSequence) return;
    const isOrdered = (customer: string): boolean =>
      given.orders.some(({ scope }) => scope === '*' || scope === customer);
    const listed = given.customers.filter(({ customer }) => !isOrdered(customer));
    for (const name of names) if (!listed.some(({ customer }) => customer === name)) this.#granted.delete(name);
    const from = this.#sentAt.get(given.nonce.toString('hex'));
    if (from === undefined || from + permitValidityMs <= nowMs) return;
    for (const { customer } of listed)
      this.#granted.set(customer, Math.max(this.#granted.get(customer) ?? 0, from + permitValidityMs));
  }

  #obey(action: Action, nowMs: number): void {
    const { seed, held, random } = this.#weather;
    if (action.type === 'allow') this.running.add(action.customer);
    if (action.type === 'vouch' && !held.has(action.customer))
      assert.ok(action.untilMs <= nowMs + permitValidityMs, `seed ${seed}: leash of ${action.untilMs} at ${nowMs}`);
    if (action.type === 'stop') {
      for (const name of action.scope === '*' ? names : [action.scope]) this.running.delete(name);
      if (action.orders.length > 0) this.#emptied.push({ at: nowMs + random() * 400, orders: action.orders });
    }
  }
}

/** It changes its mind, kills, and falls silent. Its permits come late, twice, in another order, or not at all. */
class SimulatedController {
  readonly #weather: Weather;
  readonly #acknowledged = new Set<bigint>();
  readonly #orders: OrderToAcknowledge[] = [];
  readonly #allowed = new Set(names);
  #wire: { at: number; permit: Permit }[] = [];
  #sequence = 0;
  #silentUntil = 0;
  readonly killedAt = new Map<string, number>();

  constructor(given: Weather) {
    this.#weather = given;
  }

  decide(nowMs: number): void {
    const { random, chance } = this.#weather;
    if (chance(0.0005)) this.#silentUntil = nowMs + random() * 8_000;
    if (chance(0.002)) {
      const victim = names[Math.floor(random() * names.length)] ?? 'acme';
      if (this.#allowed.delete(victim)) {
        this.killedAt.set(victim, nowMs);
        this.#order(victim);
      } else {
        this.#allowed.add(victim);
        this.killedAt.delete(victim);
      }
    }
    if (chance(0.0002)) {
      this.#allowed.clear();
      for (const name of names) if (!this.killedAt.has(name)) this.killedAt.set(name, nowMs);
      this.#order('*');
    }
  }

  #order(scope: string): void {
    this.#orders.push({ order: BigInt(this.#orders.length + 1), scope });
  }

  hear(heartbeat: { nonce: Buffer; receipts: Receipt[] }, nowMs: number): void {
    const { random, chance, held, loss } = this.#weather;
    if (chance(loss) || nowMs < this.#silentUntil) return;
    for (const { order } of heartbeat.receipts) this.#acknowledged.add(order);
    this.#sequence += 1;
    const answer: Permit = {
      session,
      sequence: BigInt(this.#sequence),
      nonce: chance(0.03) ? nonceOf(0xdead_beef) : heartbeat.nonce,
      generation: 0n,
      validityMs: permitValidityMs,
      customers: [...this.#allowed].map((customer) => ({ customer, hold: held.has(customer) })),
      orders: this.#orders.filter(({ order }) => !this.#acknowledged.has(order)),
    };
    const copies = chance(0.2) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1)
      if (!chance(loss))
        this.#wire.push({ at: nowMs + (chance(0.1) ? random() * 6_000 : random() * 20), permit: answer });
  }

  arrived(nowMs: number): Permit[] {
    const arrived = this.#wire.filter(({ at }) => at <= nowMs).toSorted((one, other) => one.at - other.at);
    this.#wire = this.#wire.filter(({ at }) => at > nowMs);
    return arrived.map(({ permit: each }) => each);
  }
}

/**
 * A controller and a node, 60 s of simulated time, with loss, delay of up to 6 s, duplicates and so reordering. The node's
 * clock is the only clock the keeper sees.
 */
function simulate(seed: number): void {
  const given = weather(seed);
  const node = new SimulatedNode(given);
  const controller = new SimulatedController(given);
  let nextBeat = 0;
  for (let nowMs = 0; nowMs < 60_000; nowMs += 5) {
    controller.decide(nowMs);
    node.tick(nowMs);
    if (nowMs >= nextBeat) {
      nextBeat = nowMs + heartbeatIntervalMs;
      const nonce = node.beat(nowMs);
      controller.hear({ nonce, receipts: receipts(node.keeper) }, nowMs);
    }
    for (const each of controller.arrived(nowMs)) node.feed({ type: 'permit', permit: each, nowMs }, nowMs);
    node.acknowledgeStops(nowMs);
    // The promise, seen from outside: killed means gone within the bound, whatever the network does.
    for (const [name, at] of controller.killedAt)
      if (!given.held.has(name) && nowMs - at > boundMs)
        assert.ok(!node.running.has(name), `seed ${seed}: ${name} killed at ${at} runs at ${nowMs}`);
  }
}

test('no customer runs past its deadline or the bound: 60 s with loss, delay, duplicates and reordering, 200 seeds', () => {
  for (let seed = 1; seed <= 200; seed += 1) simulate(seed);
});
