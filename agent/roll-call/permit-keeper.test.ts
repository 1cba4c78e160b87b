import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OrderToAcknowledge, PermittedCustomer } from '../../protocol/roll-call.ts';
import { permitValidityMs } from '../../protocol/timing.ts';
import { newKeeper, nonceLimit, receipts, step, type KeeperEvent } from './permit-keeper.ts';

interface PermitSketch {
  sequence: number;
  nonce: number;
  customers?: (string | PermittedCustomer)[];
  orders?: OrderToAcknowledge[];
  generation?: number;
  validityMs?: number;
}

const session = Buffer.alloc(16, 1);

function nonceOf(number: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(number);
  return bytes;
}

function sent(nonce: number, nowMs: number): KeeperEvent {
  return { type: 'sent', nonce: nonceOf(nonce), nowMs };
}

function permit(nowMs: number, sketch: PermitSketch): KeeperEvent {
  const { sequence, nonce, customers = [], orders = [], generation = 0, validityMs = permitValidityMs } = sketch;
  return {
    type: 'permit',
    nowMs,
    permit: {
      session,
      sequence: BigInt(sequence),
      nonce: nonceOf(nonce),
      generation: BigInt(generation),
      validityMs,
      customers: customers.map((each) => (typeof each === 'string' ? { customer: each, hold: false } : each)),
      orders,
    },
  };
}

function tick(nowMs: number): KeeperEvent {
  return { type: 'tick', nowMs };
}

/** The events and what each of them made the keeper do, one line of words per event. */
function told(events: KeeperEvent[], running: string[] = []): string[] {
  let keeper = newKeeper(running, 0);
  return events.map((event) => {
    const next = step(keeper, event);
    keeper = next.keeper;
    return next.actions
      .map((action) => {
        switch (action.type) {
          case 'stop':
            return `stop ${action.scope} ${action.reason}${action.orders.map((order) => ` #${order}`).join('')}`;
          case 'vouch':
            return `vouch ${action.customer} ${action.untilMs}`;
          case 'allow':
            return `allow ${action.customer}`;
          case 'fetch':
            return `fetch ${action.generation}`;
          default:
            return action.type;
        }
      })
      .join(', ');
  });
}

const hold = (customer: string): PermittedCustomer => ({ customer, hold: true });

const table: { name: string; running?: string[]; events: KeeperEvent[]; want: string[] }[] = [
  {
    name: 'a permit counts from when its nonce was sent, however late it comes',
    events: [sent(1, 100), permit(2_900, { sequence: 1, nonce: 1, customers: ['acme'] }), tick(3_099), tick(3_100)],
    want: ['', 'vouch acme 3100, allow acme', '', 'stop acme silence, vouch acme 0'],
  },
  {
    name: 'a permit that comes after its time extends nothing',
    events: [sent(1, 0), permit(3_000, { sequence: 1, nonce: 1, customers: ['acme'] })],
    want: ['', ''],
  },
  {
    name: 'a customer that a permit does not list is stopped by it, the others go on',
    events: [
      sent(1, 0),
      permit(5, { sequence: 1, nonce: 1, customers: ['acme', 'bolt'] }),
      permit(50, { sequence: 2, nonce: 1, customers: ['bolt'] }),
    ],
    want: [
      '',
      'vouch acme 3000, vouch bolt 3000, allow acme, allow bolt',
      'stop acme removed, vouch acme 0, allow bolt',
    ],
  },
  {
    name: 'a replayed permit does nothing, one that was overtaken neither',
    events: [
      sent(1, 0),
      permit(5, { sequence: 2, nonce: 1 }),
      permit(6, { sequence: 2, nonce: 1, customers: ['acme'] }),
      permit(7, { sequence: 1, nonce: 1, customers: ['acme'], generation: 9 }),
    ],
    want: ['', '', '', ''],
  },
  {
    name: 'an unknown nonce stops whom its permit does not list, extends nothing, allows nobody',
    events: [
      sent(1, 0),
      permit(5, { sequence: 1, nonce: 1, customers: ['acme', 'bolt'] }),
      permit(1_000, { sequence: 2, nonce: 99, customers: ['bolt', 'cube'] }),
      tick(3_000),
    ],
    want: [
      '',
      'vouch acme 3000, vouch bolt 3000, allow acme, allow bolt',
      'stop acme removed, vouch acme 0',
      'stop bolt silence, vouch bolt 0',
    ],
  },
  {
    name: 'an answer to an older nonce does not shorten what a newer one gave',
    events: [
      sent(1, 0),
      sent(2, 750),
      permit(760, { sequence: 1, nonce: 2, customers: ['acme'] }),
      permit(770, { sequence: 2, nonce: 1, customers: ['acme'] }),
      tick(3_749),
      tick(3_750),
    ],
    want: ['', '', 'vouch acme 3750, allow acme', 'allow acme', '', 'stop acme silence, vouch acme 0'],
  },
  {
    name: 'nobody may grant more than 3 s; less is taken as said',
    events: [
      sent(1, 0),
      permit(1, { sequence: 1, nonce: 1, customers: ['acme'], validityMs: 60_000 }),
      sent(2, 3_000),
      permit(3_001, { sequence: 2, nonce: 2, customers: ['bolt'], validityMs: 500 }),
    ],
    want: ['', 'vouch acme 3000, allow acme', '', 'stop acme silence, vouch acme 0, vouch bolt 3500, allow bolt'],
  },
  {
    name: 'contact resumes: what silence stopped is allowed again',
    events: [
      sent(1, 0),
      permit(1, { sequence: 1, nonce: 1, customers: ['acme'] }),
      tick(3_000),
      sent(2, 4_000),
      permit(4_001, { sequence: 2, nonce: 2, customers: ['acme'] }),
    ],
    want: ['', 'vouch acme 3000, allow acme', 'stop acme silence, vouch acme 0', '', 'vouch acme 7000, allow acme'],
  },
  {
    name: 'a held customer runs on in silence, and the leash hears of it each 750 ms',
    events: [
      sent(1, 0),
      permit(1, { sequence: 1, nonce: 1, customers: [hold('acme'), 'bolt'] }),
      tick(750),
      tick(3_000),
      tick(60_000),
    ],
    want: [
      '',
      'vouch acme 3000, vouch bolt 3000, allow acme, allow bolt',
      'vouch acme 3750',
      'vouch acme 6000, stop bolt silence, vouch bolt 0',
      'vouch acme 63000',
    ],
  },
  {
    name: 'a held customer is stopped by a permit like any other; hold can be taken back by any permit, given by a young one only',
    events: [
      sent(1, 0),
      permit(1, { sequence: 1, nonce: 1, customers: [hold('acme'), hold('bolt'), 'cube'] }),
      permit(10, { sequence: 2, nonce: 99, customers: [{ customer: 'bolt', hold: false }, hold('cube')] }),
      tick(3_000),
    ],
    want: [
      '',
      'vouch acme 3000, vouch bolt 3000, vouch cube 3000, allow acme, allow bolt, allow cube',
      'stop acme removed, vouch acme 0',
      'stop bolt silence, vouch bolt 0, stop cube silence, vouch cube 0',
    ],
  },
  {
    name: 'an order stops its scope once, and its receipt makes a heartbeat leave',
    events: [
      sent(1, 0),
      permit(1, { sequence: 1, nonce: 1, customers: ['acme', 'bolt'] }),
      permit(20, { sequence: 2, nonce: 1, customers: ['bolt'], orders: [{ order: 7n, scope: 'acme' }] }),
      permit(120, { sequence: 3, nonce: 1, customers: ['bolt'], orders: [{ order: 7n, scope: 'acme' }] }),
      { type: 'stopped', orders: [7n], stoppedAfterMs: 110, processes: 3 },
      { type: 'stopped', orders: [8n], stoppedAfterMs: 110, processes: 3 },
    ],
    want: [
      '',
      'vouch acme 3000, vouch bolt 3000, allow acme, allow bolt',
      'stop acme killed #7, vouch acme 0, allow bolt',
      'allow bolt',
      'beat',
      '',
    ],
  },
  {
    name: 'an order wins over a list that still names its customer, also with an unknown nonce',
    events: [
      sent(1, 0),
      permit(1, { sequence: 1, nonce: 1, customers: ['acme', 'bolt'] }),
      permit(2, { sequence: 2, nonce: 99, customers: ['acme', 'bolt'], orders: [{ order: 1n, scope: 'acme' }] }),
      permit(3, { sequence: 3, nonce: 1, customers: ['acme', 'bolt'], orders: [{ order: 2n, scope: '*' }] }),
    ],
    want: [
      '',
      'vouch acme 3000, vouch bolt 3000, allow acme, allow bolt',
      'stop acme killed #1, vouch acme 0',
      'stop * killed #2, vouch bolt 0',
    ],
  },
  {
    name: 'an order for a customer that is not here is carried out and acknowledged all the same',
    events: [
      sent(1, 0),
      permit(1, {
        sequence: 1,
        nonce: 1,
        orders: [
          { order: 1n, scope: 'acme' },
          { order: 2n, scope: 'acme' },
        ],
      }),
    ],
    want: ['', 'stop acme killed #1 #2'],
  },
  {
    name: 'a newer generation is fetched once, by whatever permit it is told',
    events: [
      sent(1, 0),
      permit(1, { sequence: 1, nonce: 1, generation: 4 }),
      permit(2, { sequence: 2, nonce: 99, generation: 4 }),
      permit(3, { sequence: 3, nonce: 99, generation: 5 }),
      permit(4, { sequence: 4, nonce: 1, generation: 2 }),
    ],
    want: ['', 'fetch 4', '', 'fetch 5', ''],
  },
  {
    name: 'a new session counts its sequences and generations from the start; old nonces are void, grants run out by themselves',
    events: [
      sent(1, 0),
      permit(1, { sequence: 50, nonce: 1, customers: ['acme'], generation: 9 }),
      { type: 'session' },
      permit(2, { sequence: 1, nonce: 1, customers: ['acme'], generation: 1 }),
      tick(3_000),
    ],
    want: ['', 'vouch acme 3000, allow acme, fetch 9', '', 'fetch 1', 'stop acme silence, vouch acme 0'],
  },
  {
    name: 'what an earlier agent left running goes on until its permits can be no longer valid, or a permit says otherwise',
    running: ['acme', 'bolt', 'cube'],
    events: [
      sent(1, 100),
      permit(101, { sequence: 1, nonce: 1, customers: ['bolt'] }),
      permit(102, { sequence: 2, nonce: 99, customers: ['bolt'] }),
    ],
    want: ['', 'stop acme removed, vouch acme 0, stop cube removed, vouch cube 0, vouch bolt 3100, allow bolt', ''],
  },
  {
    name: 'what an earlier agent left running is stopped when nobody permits it',
    running: ['acme'],
    events: [tick(2_999), tick(3_000)],
    want: ['', 'stop acme silence, vouch acme 0'],
  },
];

for (const { name, running, events, want } of table)
  test(`keeper: ${name}`, () => assert.deepEqual(told(events, running), want));

test('receipts are repeated until a permit no longer asks for them', () => {
  const orders = [
    { order: 1n, scope: 'acme' },
    { order: 2n, scope: '*' },
  ];
  let keeper = newKeeper([], 0);
  const feed = (event: KeeperEvent): void => void (keeper = step(keeper, event).keeper);
  feed(permit(1, { sequence: 1, nonce: 1, orders }));
  assert.deepEqual(receipts(keeper), []);
  feed({ type: 'stopped', orders: [1n], stoppedAfterMs: 8, processes: 2 });
  assert.deepEqual(receipts(keeper), [{ order: 1n, stoppedAfterMs: 8, processes: 2 }]);
  feed(permit(2, { sequence: 2, nonce: 1, orders }));
  feed({ type: 'stopped', orders: [2n], stoppedAfterMs: 9, processes: 4 });
  assert.deepEqual(
    receipts(keeper).map(({ order }) => order),
    [1n, 2n],
  );
  feed(permit(3, { sequence: 3, nonce: 1, orders: orders.slice(1) }));
  assert.deepEqual(
    receipts(keeper).map(({ order }) => order),
    [2n],
  );
  feed(permit(4, { sequence: 4, nonce: 1 }));
  assert.deepEqual(receipts(keeper), []);
  feed(permit(9, { sequence: 9, nonce: 1, orders: [{ order: 3n, scope: 'acme' }] }));
  feed({ type: 'stopped', orders: [3n], stoppedAfterMs: 1, processes: 1 });
  // A controller whose state came back from a backup gives a number again.
  feed(permit(10, { sequence: 10, nonce: 1, orders: [{ order: 3n, scope: 'bolt' }] }));
  assert.deepEqual(receipts(keeper), []);
});

test('nonces are forgotten with their time, and never more than the limit are kept', () => {
  let keeper = newKeeper([], 0);
  for (let number = 0; number < 1_000; number += 1) keeper = step(keeper, sent(number, number)).keeper;
  assert.equal(keeper.nonces.length, nonceLimit);
  keeper = step(keeper, sent(1_000, 10_000)).keeper;
  assert.equal(keeper.nonces.length, 1);
});
