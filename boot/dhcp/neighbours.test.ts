import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer } from './answer.ts';
import { Neighbours, neighbourIn, question } from './neighbours.ts';
import { option } from './option.ts';
import { decodePacket, encodePacket, type Packet } from './packet.ts';
import { addressBytes, boardPacket, describeAnswer, testWorld } from './world.fixture.ts';

const own = '10.77.0.1';
const theirs = '10.77.0.2';
const from = (server: string): [number, Uint8Array] => [option.serverId, addressBytes(server)];

function onTheWire(packet: Packet): Packet {
  const read = decodePacket(encodePacket(packet));
  if ('refused' in read) throw new Error(read.refused);
  return read;
}

test('a controller that asks is heard, and hears what it asked for, without an address from the pool', () => {
  const asked = onTheWire(question(theirs));
  assert.deepEqual(neighbourIn(asked, own), { address: theirs, kind: 'muster' });
  const world = testWorld();
  const answered = answer(asked, { world, nowMs: 0 });
  assert.equal(describeAnswer(answered), 'controller: offer 0.0.0.0 to 10.77.0.2:67, as muster-controller');
  assert.ok('reply' in answered);
  assert.deepEqual(neighbourIn(onTheWire(answered.reply), theirs), { address: own, kind: 'muster' });
  assert.equal([...world.table.all()].length, 0);
  assert.match(describeAnswer(answer(onTheWire(question(own)), { world, nowMs: 0 })), /silent: our own question/);
  assert.equal(neighbourIn(onTheWire(question(own)), own), undefined);
});

test('another DHCP server is heard by its answer, and by a board that takes its address from it', () => {
  const offer = boardPacket('offer', { options: [from(theirs)] });
  assert.deepEqual(neighbourIn(offer, own), { address: theirs, kind: 'dhcp' });
  assert.deepEqual(neighbourIn(boardPacket('request', { options: [from(theirs)] }), own), {
    address: theirs,
    kind: 'dhcp',
  });
  for (const packet of [
    boardPacket('request', { options: [from(own)] }),
    boardPacket('discover'),
    boardPacket('request'),
  ])
    assert.equal(neighbourIn(packet, own), undefined);
});

test('each other server is told once, what it is once more, and is forgotten when it is silent', () => {
  let now = 1_000_000;
  const neighbours = new Neighbours(() => now);
  assert.match(neighbours.heard({ address: theirs, kind: 'dhcp' }) ?? '', /another DHCP server, 10\.77\.0\.2, answers/);
  assert.match(neighbours.heard({ address: theirs, kind: 'muster' }) ?? '', /another Muster controller, 10\.77\.0\.2/);
  assert.equal(neighbours.heard({ address: theirs, kind: 'dhcp' }), undefined);
  assert.deepEqual(neighbours.all(), [{ address: theirs, kind: 'muster' }]);
  for (let number = 0; number < 1_000; number++) neighbours.heard({ address: `10.78.0.${number}`, kind: 'dhcp' });
  assert.equal(neighbours.all().length, 16);
  now += 191_000;
  assert.deepEqual(neighbours.all(), []);
  assert.match(neighbours.heard({ address: theirs, kind: 'muster' }) ?? '', /another Muster controller/);
});

test('a board that renews an address of another server is told nothing by us', () => {
  const world = testWorld();
  const renews = (ip: string) => boardPacket('request', { ciaddr: ip });
  for (const ip of ['10.77.0.150', '10.88.0.7'])
    assert.match(describeAnswer(answer(renews(ip), { world, nowMs: 0 })), /silent: has .* from another server/);
  const remembers = boardPacket('request', { options: [[option.requestedAddress, addressBytes('10.77.0.150')]] });
  assert.match(
    describeAnswer(answer(remembers, { world, nowMs: 0 })),
    /silent: has 10\.77\.0\.150 from another server/,
  );
});
