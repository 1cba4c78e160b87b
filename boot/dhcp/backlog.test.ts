import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backlog } from './backlog.ts';
import type { MessageType } from './option.ts';
import { decodePacket, encodePacket } from './packet.ts';
import { boardPacket } from './world.fixture.ts';

function macOf(number: number, prefix = '02:00:00'): string {
  const digits = number.toString(16).padStart(6, '0');
  return `${prefix}:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4)}`;
}

function packet(mac: string, { type = 'discover', xid = 1 }: { type?: MessageType; xid?: number } = {}): Buffer {
  return encodePacket(boardPacket(type, { mac, xid }));
}

/** All that is taken, as `mac type xid`. */
function drain(backlog: Backlog, nowMs: number): string[] {
  const taken: string[] = [];
  for (;;) {
    const datagram = backlog.take(nowMs, () => taken.push('dropped'));
    if (datagram === undefined) return taken;
    const read = decodePacket(datagram);
    assert.ok(!('refused' in read));
    taken.push(`${read.mac} ${read.type} ${read.xid}`);
  }
}

test('who has waited longest is next, and a board that asks again keeps its place with what it said last', () => {
  const backlog = new Backlog(() => true);
  const [first, second] = [macOf(1), macOf(2)];
  backlog.put(packet(first, { xid: 1 }), 0);
  backlog.put(packet(second, { xid: 2 }), 10);
  backlog.put(packet(first, { xid: 3 }), 1_000);
  backlog.put(packet(first, { type: 'request', xid: 4 }), 1_000);
  assert.equal(backlog.length, 3);
  assert.deepEqual(drain(backlog, 1_001), [`${first} discover 3`, `${second} discover 2`, `${first} request 4`]);
  assert.equal(backlog.length, 0);
});

test('what nobody waits for any more is dropped, also where the clock was set back', () => {
  const backlog = new Backlog(() => true);
  backlog.put(packet(macOf(1)), 0);
  backlog.put(packet(macOf(2)), 500);
  assert.deepEqual(drain(backlog, 3_001), ['dropped', `${macOf(2)} discover 1`]);
  backlog.put(packet(macOf(3)), 5_000);
  assert.deepEqual(drain(backlog, 4_000), ['dropped']);
});

test('a flood of invented MACs takes the room of other strangers, and every fourth turn', () => {
  const backlog = new Backlog((mac) => mac.startsWith('02:00:00'));
  let refused = 0;
  for (let number = 0; number < 20_000; number++) if (!backlog.put(packet(macOf(number, '02:66:00')), 0)) refused++;
  assert.equal(refused, 20_000 - 1_024);
  for (let number = 0; number < 684; number++) assert.ok(backlog.put(packet(macOf(number)), 1));
  const turns = drain(backlog, 2);
  assert.deepEqual(
    turns.slice(0, 8).map((each) => each.slice(0, 8)),
    ['02:00:00', '02:00:00', '02:00:00', '02:66:00', '02:00:00', '02:00:00', '02:00:00', '02:66:00'],
  );
  assert.ok(turns.findLastIndex((each) => each.startsWith('02:00:00')) < (684 * 4) / 3 + 1);
});

test('boards that are made up by the thousand do not fill the memory', () => {
  const backlog = new Backlog(() => true);
  for (let number = 0; number < 30_000; number++) backlog.put(packet(macOf(number)), 0);
  assert.equal(backlog.length, 8_192);
});
