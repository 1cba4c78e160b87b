import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, type World, answer } from './answer.ts';
import type { Lease } from '../../inventory/nodes/leases.ts';
import { option } from './option.ts';
import { type Packet, encodePacket } from './packet.ts';
import { addressBytes, boardPacket, describeAnswer, testWorld } from './world.fixture.ts';

const nowMs = 1_700_000_000_000;
const hour = 3_600_000;
const board = '02:00:00:c2:00:01';
const other = '02:00:00:c2:00:02';
const ours: [number, Uint8Array] = [option.serverId, addressBytes('10.77.0.1')];
const wants = (ip: string): [number, Uint8Array] => [option.requestedAddress, addressBytes(ip)];
const bound = (ip: string, mac = board): Lease => ({ ip, mac, state: 'bound', expiresAtMs: nowMs + hour });

const sayAt =
  (atMs: number) =>
  (world: World, packet: Packet): Answer => {
    const decided = answer(packet, { world, nowMs: atMs });
    for (const lease of decided.leases) world.table.put(lease);
    if ('reply' in decided) encodePacket(decided.reply);
    return decided;
  };
const say = sayAt(nowMs);

function assertAnswer(decided: Answer, wanted: string | RegExp): void {
  if (typeof wanted === 'string') assert.equal(describeAnswer(decided), wanted);
  else assert.match(describeAnswer(decided), wanted);
}

test('invented MACs take no address that a board has, had or is reserved, and a board takes theirs', () => {
  const macOf = (number: number) =>
    `02:66:00:00:${(number >> 8).toString(16).padStart(2, '0')}:${(number & 255).toString(16).padStart(2, '0')}`;
  const third = '02:00:00:c2:00:03';
  const boards = [board, other, third];
  const flooded = testWorld({
    leases: [
      { ...bound('10.77.0.50'), expiresAtMs: nowMs - hour },
      { ...bound('10.77.0.51', other), state: 'released' },
    ],
    isBoard: (mac) => boards.includes(mac),
  });
  let acks = 0;
  for (let number = 0; number < 2_000; number++) {
    const offer = sayAt(nowMs + number)(flooded, boardPacket('discover', { mac: macOf(number) }));
    if ('silent' in offer) {
      assert.equal(offer.isShort, true);
      continue;
    }
    const ip = offer.reply.yiaddr;
    const ack = sayAt(nowMs + number)(
      flooded,
      boardPacket('request', { mac: macOf(number), options: [ours, wants(ip)] }),
    );
    assert.ok('reply' in ack && ack.reply.type === 'ack');
    assert.equal(Buffer.from(ack.reply.options.get(option.leaseSeconds) ?? []).readUInt32BE(), 300);
    acks++;
  }
  assert.equal(acks, 8);
  assert.ok([...flooded.table.all()].length <= 10);
  const later = nowMs + 3_000;
  assertAnswer(sayAt(later)(flooded, boardPacket('discover')), /offer 10\.77\.0\.50 /);
  assertAnswer(sayAt(later)(flooded, boardPacket('discover', { mac: other })), /offer 10\.77\.0\.51 /);
  const offered = sayAt(later)(flooded, boardPacket('discover', { mac: third }));
  assert.ok('reply' in offered, 'a board whose lease is forgotten takes the oldest of those that never joined');
  const selected = boardPacket('request', { mac: third, options: [ours, wants(offered.reply.yiaddr)] });
  assertAnswer(sayAt(later)(flooded, selected), /^other: ack .* \[bound /);
});

test('of addresses that were only offered the oldest goes to the next who asks, five seconds after its offer', () => {
  const flooded = testWorld({ isBoard: () => false });
  const ask = (number: number, ms: number) =>
    sayAt(nowMs + ms)(
      flooded,
      boardPacket('discover', { mac: `02:66:00:00:00:${number.toString(16).padStart(2, '0')}` }),
    );
  const offers = Array.from({ length: 10 }, (_, number) => ask(number, number));
  assertAnswer(ask(10, 4_999), 'other: silent: the pool is exhausted');
  const [first] = offers;
  const next = ask(11, 5_000);
  assert.ok(first !== undefined && 'reply' in first && 'reply' in next);
  assert.equal(next.reply.yiaddr, first.reply.yiaddr);
});

test('a machine that never joined may be turned away; one that has an address, or was a board, is not', () => {
  let admits = true;
  const busy = testWorld({ isBoard: (mac) => mac === board, admitNewcomer: () => admits });
  say(busy, boardPacket('discover', { mac: other, options: [wants('10.77.0.50')] }));
  admits = false;
  assertAnswer(say(busy, boardPacket('discover', { mac: other })), /offer/);
  assertAnswer(say(busy, boardPacket('discover')), /offer/);
  assertAnswer(say(busy, boardPacket('discover', { mac: '02:00:00:c2:00:03' })), /too many new machines at once/);
  const unasked = boardPacket('request', { mac: '02:00:00:c2:00:03', options: [wants('10.77.0.58')] });
  assertAnswer(say(busy, unasked), /too many new machines at once/);
});

test('a board that is alive keeps its address from whoever else has its MAC, and its own Linux is answered', () => {
  const clone = testWorld({ leases: [bound('10.77.0.50')], alive: [board] });
  const node: [number, Uint8Array] = [option.vendorClass, Buffer.from('muster-node')];
  const uboot: [number, Uint8Array] = [option.clientArch, Uint8Array.of(0, 0x16)];
  const silent = [
    boardPacket('discover', { options: [uboot] }),
    boardPacket('discover'),
    boardPacket('request', { options: [ours, wants('10.77.0.50')] }),
    boardPacket('release', { ciaddr: '10.77.0.50' }),
    boardPacket('release', { ciaddr: '10.77.0.50', options: [node] }),
    boardPacket('decline', { options: [node, ours, wants('10.77.0.50')] }),
    boardPacket('request', { options: [node, ours, wants('10.77.0.51')] }),
  ];
  for (const packet of silent) assertAnswer(say(clone, packet), /^\w+: silent: .*: it is alive$/);
  assertAnswer(say(clone, boardPacket('discover', { options: [node] })), /^node: offer 10\.77\.0\.50 /);
  assertAnswer(
    say(clone, boardPacket('request', { ciaddr: '10.77.0.50', options: [node] })),
    /^node: ack 10\.77\.0\.50 /,
  );
  assertAnswer(say(clone, boardPacket('discover', { mac: other, options: [uboot] })), /^uboot: offer/);
});

// [what it shows, leases before, packet, wanted]
const table: [string, Lease[], Packet, string | RegExp][] = [
  [
    'a DISCOVER of a board that has a lease is offered it again',
    [bound('10.77.0.55')],
    boardPacket('discover'),
    'other: offer 10.77.0.55 to 255.255.255.255:68',
  ],
  [
    'a DISCOVER is offered the address it asks for, when it is free',
    [],
    boardPacket('discover', { options: [wants('10.77.0.53')] }),
    `other: offer 10.77.0.53 to 255.255.255.255:68 [offered 10.77.0.53 ${board}]`,
  ],
  [
    'a DISCOVER is not offered the address of another board',
    [bound('10.77.0.53', other)],
    boardPacket('discover', { options: [wants('10.77.0.53')] }),
    /offer 10\.77\.0\.5[^3]/,
  ],
  [
    'a DISCOVER is not offered an address outside the range',
    [],
    boardPacket('discover', { options: [wants('10.77.0.1')] }),
    /offer 10\.77\.0\.5/,
  ],
  [
    'a REQUEST that selects our offer is stored and acknowledged',
    [{ ...bound('10.77.0.50'), state: 'offered' }],
    boardPacket('request', { options: [ours, wants('10.77.0.50')] }),
    `other: ack 10.77.0.50 to 255.255.255.255:68 [bound 10.77.0.50 ${board}]`,
  ],
  [
    'a REQUEST for an offer that a restart of ours forgot is acknowledged while the address is free',
    [],
    boardPacket('request', { options: [ours, wants('10.77.0.50')] }),
    `other: ack 10.77.0.50 to 255.255.255.255:68 [bound 10.77.0.50 ${board}]`,
  ],
  [
    'a REQUEST that chose another server frees our offer, without a word',
    [{ ...bound('10.77.0.50'), state: 'offered' }],
    boardPacket('request', { options: [[option.serverId, addressBytes('10.77.0.9')], wants('10.77.0.50')] }),
    `other: silent: chose another server, 10.77.0.9 [released 10.77.0.50 ${board}]`,
  ],
  [
    'a rebooting board that remembers its address gets it',
    [bound('10.77.0.50')],
    boardPacket('request', { options: [wants('10.77.0.50')] }),
    `other: ack 10.77.0.50 to 255.255.255.255:68 [bound 10.77.0.50 ${board}]`,
  ],
  [
    'a rebooting board from another network is told no',
    [],
    boardPacket('request', { options: [wants('192.168.1.5')] }),
    'other: nak 0.0.0.0 to 255.255.255.255:68',
  ],
  [
    'a rebooting board whose address another has by now is told no',
    [bound('10.77.0.50', other)],
    boardPacket('request', { options: [wants('10.77.0.50')] }),
    'other: nak 0.0.0.0 to 255.255.255.255:68',
  ],
  [
    'a board that renews is answered at its address',
    [bound('10.77.0.50')],
    boardPacket('request', { ciaddr: '10.77.0.50' }),
    `other: ack 10.77.0.50 to 10.77.0.50:68 [bound 10.77.0.50 ${board}]`,
  ],
  [
    'a board that renews what is not its own is told no, by broadcast',
    [bound('10.77.0.50', other)],
    boardPacket('request', { ciaddr: '10.77.0.50' }),
    'other: nak 0.0.0.0 to 255.255.255.255:68',
  ],
  [
    'a board that takes another address gives up the one it had',
    [bound('10.77.0.50')],
    boardPacket('request', { options: [wants('10.77.0.51')] }),
    `other: ack 10.77.0.51 to 255.255.255.255:68 [released 10.77.0.50 ${board}, bound 10.77.0.51 ${board}]`,
  ],
  [
    'the client of the dhcp package, which names no address, gets what it was offered',
    [{ ...bound('10.77.0.50'), state: 'offered' }],
    boardPacket('request'),
    `other: ack 10.77.0.50 to 255.255.255.255:68 [bound 10.77.0.50 ${board}]`,
  ],
  [
    'a request that names no address, without an offer, is not answered',
    [],
    boardPacket('request'),
    /silent: a request that names no address/,
  ],
  [
    'a REQUEST that writes a foreign address into ciaddr makes us send nothing there',
    [],
    boardPacket('request', { ciaddr: '8.8.8.8', options: [wants('10.77.0.50')] }),
    `other: ack 10.77.0.50 to 255.255.255.255:68 [bound 10.77.0.50 ${board}]`,
  ],
  [
    'INFORM is answered with options and without an address',
    [],
    boardPacket('inform', { ciaddr: '10.77.0.200' }),
    'other: ack 0.0.0.0 to 10.77.0.200:68',
  ],
  [
    'INFORM from elsewhere makes us send nothing anywhere',
    [],
    boardPacket('inform', { ciaddr: '8.8.8.8' }),
    /silent: informs from 8\.8\.8\.8/,
  ],
  [
    'DECLINE puts the address into quarantine',
    [bound('10.77.0.50')],
    boardPacket('decline', { options: [ours, wants('10.77.0.50')] }),
    `other: silent: declined 10.77.0.50 [declined 10.77.0.50 ${board}]`,
  ],
  [
    'DECLINE of another board’s address changes nothing',
    [bound('10.77.0.50', other)],
    boardPacket('decline', { options: [ours, wants('10.77.0.50')] }),
    'other: silent: declines what is not its own',
  ],
  [
    'RELEASE ends the lease',
    [bound('10.77.0.50')],
    boardPacket('release', { ciaddr: '10.77.0.50', options: [ours] }),
    `other: silent: released 10.77.0.50 [released 10.77.0.50 ${board}]`,
  ],
  [
    'RELEASE of another board’s address changes nothing',
    [bound('10.77.0.50', other)],
    boardPacket('release', { ciaddr: '10.77.0.50', options: [ours] }),
    'other: silent: releases what is not its own',
  ],
  [
    'what comes by a relay of our network goes back to it',
    [bound('10.77.0.50')],
    boardPacket('discover', { giaddr: '10.77.0.2' }),
    'other: offer 10.77.0.50 to 10.77.0.2:67',
  ],
  [
    'what comes by a relay of another network is not answered',
    [],
    boardPacket('discover', { giaddr: '10.99.0.2' }),
    /silent: comes by a relay of another network/,
  ],
  ['an answer of another server is not answered', [], boardPacket('offer'), /an answer of another/],
  ['a group address is no board', [], boardPacket('discover', { mac: '01:00:5e:00:00:01' }), /silent: not a board/],
];

for (const [name, leases, packet, wanted] of table)
  test(`answer(): ${name}`, () => assertAnswer(say(testWorld({ leases }), packet), wanted));

function leaseSeconds(decided: Answer): number {
  assert.ok('reply' in decided);
  return Buffer.from(decided.reply.options.get(option.leaseSeconds) ?? []).readUInt32BE();
}

test('a board that asks again soon is given what is left of the lease on disk, which is not written again', () => {
  const ask = boardPacket('request', { options: [wants('10.77.0.50')] });
  const lease = bound('10.77.0.50');
  const kept = testWorld({ leases: [lease], stored: () => lease });
  assert.equal(leaseSeconds(sayAt(nowMs + 10_500)(kept, ask)), 3_589);
  assertAnswer(sayAt(nowMs + 10_500)(kept, ask), 'other: ack 10.77.0.50 to 255.255.255.255:68');
  // A quarter of it is over; the address on disk is another's; what is decided is not on disk yet.
  assertAnswer(sayAt(nowMs + hour / 4 + 1)(kept, ask), /\[bound 10\.77\.0\.50 /);
  for (const stored of [undefined, { ...lease, mac: other }, { ...lease, state: 'released' } as const])
    assertAnswer(say(testWorld({ leases: [lease], stored: () => stored }), ask), /\[bound 10\.77\.0\.50 /);
  const released = testWorld({ leases: [{ ...lease, state: 'released' }], stored: () => lease });
  assertAnswer(say(released, ask), /\[bound 10\.77\.0\.50 /);
});

test('a reserved address is the board’s alone, inside and outside the range', () => {
  const world = testWorld({
    reservations: [
      [board, '10.77.0.50'],
      [other, '10.77.0.10'],
    ],
  });
  for (let n = 0; n < 9; n++) say(world, request(`02:00:00:aa:00:0${n}`, world));
  assert.match(describeAnswer(say(world, boardPacket('discover', { mac: '02:00:00:aa:00:0f' }))), /exhausted/);
  assert.match(describeAnswer(say(world, boardPacket('discover'))), /offer 10\.77\.0\.50 /);
  assert.match(describeAnswer(say(world, boardPacket('discover', { mac: other }))), /offer 10\.77\.0\.10 /);
});

test('a board with a new reservation is told no when it renews, and moves', () => {
  const world = testWorld({ leases: [bound('10.77.0.55')], reservations: [[board, '10.77.0.50']] });
  assertAnswer(say(world, boardPacket('request', { ciaddr: '10.77.0.55' })), /nak/);
  assertAnswer(say(world, boardPacket('discover')), /offer 10\.77\.0\.50 /);
});

test('a full pool is silent, and the address that expired first is given out again', () => {
  const leases = Array.from({ length: 10 }, (_, n) => ({
    ...bound(`10.77.0.${50 + n}`, `02:00:00:aa:00:0${n}`),
    expiresAtMs: nowMs + n + 1,
  }));
  const world = testWorld({ leases });
  assertAnswer(say(world, boardPacket('discover')), 'other: silent: the pool is exhausted');
  assertAnswer(sayAt(nowMs + 5)(world, boardPacket('discover')), /offer 10\.77\.0\.50 /);
});

test('an offer that nobody takes is free again after a minute', () => {
  const world = testWorld({ range: { from: '10.77.0.50', to: '10.77.0.50' } });
  assertAnswer(say(world, boardPacket('discover')), /offer 10\.77\.0\.50 /);
  assertAnswer(sayAt(nowMs + 59_000)(world, boardPacket('discover', { mac: other })), /exhausted/);
  assertAnswer(sayAt(nowMs + 60_000)(world, boardPacket('discover', { mac: other })), /offer 10\.77\.0\.50 /);
});

test('a declined address rests for ten minutes', () => {
  const world = testWorld({ leases: [bound('10.77.0.50')] });
  say(world, boardPacket('decline', { options: [ours, wants('10.77.0.50')] }));
  const again = boardPacket('discover', { options: [wants('10.77.0.50')] });
  assertAnswer(say(world, again), /offer 10\.77\.0\.5[^0]/);
  assertAnswer(sayAt(nowMs + 600_000)(world, { ...again, mac: other }), /offer 10\.77\.0\.50 /);
});

test('a board that declines one address after the other cannot use up the pool', () => {
  const world = testWorld();
  for (let round = 0; round < 50; round++) {
    const offer = say(world, boardPacket('discover'));
    assert.ok('reply' in offer, `round ${round}: ${describeAnswer(offer)}`);
    say(world, boardPacket('decline', { options: [ours, wants(offer.reply.yiaddr)] }));
  }
  assertAnswer(say(world, boardPacket('discover', { mac: other })), /offer/);
});

test('a board finds its address again where all leases were lost', () => {
  const first = say(testWorld(), boardPacket('discover'));
  const second = say(testWorld(), boardPacket('discover'));
  assert.equal(describeAnswer(first), describeAnswer(second));
});

test('the client identifier and, last, the relay’s option come back as they were sent', () => {
  const relay = Buffer.from('0102abcd', 'hex');
  const id = Buffer.from('ff0001', 'hex');
  const options: [number, Uint8Array][] = [
    [option.relayAgent, relay],
    [option.clientId, id],
  ];
  const decided = say(testWorld(), boardPacket('discover', { giaddr: '10.77.0.2', options }));
  assert.ok('reply' in decided);
  assert.deepEqual([...decided.reply.options].slice(-2), [
    [option.clientId, id],
    [option.relayAgent, relay],
  ]);
});

function request(mac: string, world: World): Packet {
  const offer = say(world, boardPacket('discover', { mac }));
  assert.ok('reply' in offer);
  return boardPacket('request', { mac, options: [ours, wants(offer.reply.yiaddr)] });
}
