import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { testHeartbeat } from '../../../protocol/heartbeat.fixture.ts';
import { decodePermit, encodeHeartbeat, everything, type Heartbeat, type Permit } from '../../../protocol/roll-call.ts';
import { killResendMs, stopsByItselfMs } from '../../../protocol/timing.ts';
import type { Action, Told } from './roll-call-messages.ts';
import { RollCallState } from './roll-call-state.ts';

const [mac, other] = ['02:00:00:c2:00:01', '02:00:00:c2:00:02'];
const board = { address: '10.77.0.50', port: 5670 };
const names = ['acme', 'bolt'];

class Rack {
  readonly state = new RollCallState({ epoch: 1, time: { now: 1_000, wall: 1_800_000_000_000 } });
  readonly session = randomBytes(16);
  readonly key = randomBytes(32);
  now = 1_000;
  #sequence = 0n;

  get time() {
    return { now: this.now, wall: 1_800_000_000_000 + this.now };
  }

  node(session = this.session, hold = false): void {
    const customers = names.map((customer) => ({ customer, hold }));
    const known = { id: session.toString('hex'), key: this.key };
    this.state.tell({ type: 'node', mac, session: known, generation: 7n, customers });
  }

  order(number: number, { scope, since = this.now }: { scope: string; since?: number | undefined }): void {
    this.state.tell({ type: 'given', order: { number, scope, targets: [mac, other], at: this.time.wall, since } });
  }

  tell(told: Told): void {
    this.state.tell(told);
  }

  beat(said: Partial<Heartbeat> = {}): Action[] {
    const heartbeat = testHeartbeat({
      session: this.session,
      sequence: ++this.#sequence,
      nonce: randomBytes(16),
      ...said,
    });
    return this.state.hear({ bytes: encodeHeartbeat(heartbeat, this.key), from: board }, this.time);
  }

  /** 100 ms after 100 ms, as the loop does. What was counted by silence. */
  pass(ms: number): Action[] {
    const stopped: Action[] = [];
    for (const until = this.now + ms; this.now < until; this.now += killResendMs) {
      this.state.listen(this.time);
      for (const each of this.state.unacknowledgedNodes())
        if (this.state.pursue(each, this.time) === 'quiet')
          stopped.push(...this.state.judgeSilence(each, { readUpTo: this.now, time: this.time }));
    }
    return stopped;
  }

  permitIn(actions: Action[] | 'quiet'): Permit | undefined {
    const sent = actions === 'quiet' ? undefined : actions.find((each) => each.type === 'send');
    return sent === undefined ? undefined : decodePermit(sent.bytes, this.key);
  }
}

const typesOf = (actions: Action[]) => actions.map(({ type }) => type);
const listed = (permit: Permit | undefined) => permit?.customers.map(({ customer }) => customer);

function startedRack(): Rack {
  const rack = new Rack();
  rack.node();
  return rack;
}

test('an order stops its scope before a word is said of a node, and until it is lifted', () => {
  const rack = startedRack();
  assert.deepEqual(listed(rack.permitIn(rack.beat())), names);
  rack.order(3, { scope: 'acme' });
  const pushed = rack.state.permit(mac, rack.time);
  assert.deepEqual(listed(rack.permitIn(pushed)), ['bolt']);
  assert.deepEqual(typesOf(pushed), ['send', 'sent']);
  assert.deepEqual(typesOf(rack.state.permit(mac, rack.time)), ['send'], 'the first permit is told once');
  // What the inventory says may be older than the order, never newer than its lift.
  rack.node();
  rack.order(4, { scope: everything });
  assert.deepEqual(listed(rack.permitIn(rack.beat())), []);
  rack.tell({ type: 'lifted', number: 3 });
  assert.deepEqual(listed(rack.permitIn(rack.beat())), []);
  rack.tell({ type: 'lifted', number: 4 });
  assert.deepEqual(listed(rack.permitIn(rack.beat())), names);
});

test('a receipt counts once; permits ask for it until it is stored, and it counts anew where it found no room', () => {
  const rack = startedRack();
  rack.beat();
  rack.order(3, { scope: 'acme' });
  const receipts = [{ order: 3n, stoppedAfterMs: 1, processes: 2 }];
  assert.deepEqual(typesOf(rack.beat({ receipts })), ['heard', 'send', 'sent', 'stopped']);
  assert.deepEqual(typesOf(rack.beat({ receipts })), ['heard', 'send']);
  assert.deepEqual(rack.state.unacknowledgedNodes(), [], 'no pursuit either');
  rack.tell({ type: 'evidence', number: 3, mac, is: 'open' });
  assert.deepEqual(rack.state.unacknowledgedNodes(), [mac]);
  const again = rack.beat({ receipts });
  assert.deepEqual(typesOf(again), ['heard', 'send', 'stopped']);
  assert.equal(rack.permitIn(again)?.orders.length, 1);
  rack.tell({ type: 'evidence', number: 3, mac, is: 'stored' });
  assert.deepEqual(rack.permitIn(rack.beat({ receipts }))?.orders, []);
  rack.tell({ type: 'evidence', number: 3, mac, is: 'open' });
  assert.deepEqual(rack.state.unacknowledgedNodes(), [], 'what is stored stays');
});

test('nobody is answered whose session ended, whose node was removed, or who is not known', () => {
  const rack = new Rack();
  assert.deepEqual(rack.beat(), []);
  rack.node();
  assert.deepEqual(typesOf(rack.beat()), ['heard', 'send']);
  rack.node(randomBytes(16));
  assert.deepEqual(rack.beat(), []);
  assert.deepEqual(rack.state.permit(mac, rack.time), [], 'what the old session hears no longer matters');
  rack.node();
  assert.deepEqual(typesOf(rack.beat()), ['heard', 'send']);
  rack.tell({ type: 'removed', mac });
  assert.deepEqual(rack.beat(), []);
  assert.equal(rack.state.counters.refused, 3);
});

test('silence is proof after so long without a pause of ours, and none where a customer may hold', () => {
  const rack = startedRack();
  rack.beat();
  rack.order(3, { scope: 'acme' });
  assert.deepEqual(rack.pass(stopsByItselfMs - killResendMs), []);
  // As if the process had been stopped: its first look finds nothing.
  rack.now += 60_000;
  assert.deepEqual(rack.pass(stopsByItselfMs - killResendMs), []);
  const [acknowledged] = rack.pass(3 * killResendMs);
  assert.ok(acknowledged?.type === 'stopped' && acknowledged.evidence === 'silence');
  assert.equal(acknowledged.number, 3);

  const holding = new Rack();
  holding.node(holding.session, true);
  holding.beat({ permitSequence: holding.permitIn(holding.beat())?.sequence ?? 0n });
  holding.order(3, { scope: 'acme' });
  assert.deepEqual(holding.pass(10 * stopsByItselfMs), []);

  const unheard = startedRack();
  unheard.tell({ type: 'holding', customers: ['bolt'] });
  unheard.order(3, { scope: 'acme' });
  unheard.order(4, { scope: everything });
  assert.deepEqual(typesOf(unheard.pass(2 * stopsByItselfMs)), ['stopped'], 'of the order that stops nobody who holds');
});

test('what is overdue says for how long a node was asked, and where nobody hears', () => {
  const rack = startedRack();
  rack.tell({ type: 'node', mac: other, session: undefined, generation: 1n, customers: [] });
  rack.order(3, { scope: 'acme' });
  rack.now += 500;
  rack.beat();
  assert.deepEqual(rack.state.overdue(1_000, rack.time), []);
  rack.now += 500;
  assert.deepEqual(rack.state.overdue(1_000, rack.time), [
    { mac, number: 3, scope: 'acme', askedSince: 1_500, mayHold: false },
    { mac: other, number: 3, scope: 'acme', askedSince: -Infinity, mayHold: false },
  ]);
});
