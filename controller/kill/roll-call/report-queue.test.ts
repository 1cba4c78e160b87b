import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from './roll-call-messages.ts';
import { ReportQueue } from './report-queue.ts';

const mac = '02:00:00:c2:00:01';
const heard = (at: number, isReplay = false): Report => ({ type: 'heard', mac, at, isReplay, generation: BigInt(at) });
const sent: Report = { type: 'sent', number: 1, mac, afterMs: 2 };
const acknowledged: Report = {
  type: 'stopped',
  number: 1,
  mac,
  evidence: 'silence',
  evidenceAfterMs: 3,
  receipt: undefined,
  signed: undefined,
};

test('heartbeats of a node are one, the last; what follows from orders keeps its order', () => {
  const queue = new ReportQueue();
  for (const each of [sent, heard(1), heard(2), acknowledged]) queue.add(each);
  assert.deepEqual(queue.take(), [heard(2), sent, acknowledged]);
  assert.deepEqual(queue.take(), []);
});

test('a heartbeat that proves whose place it is proves it whatever came after it', () => {
  const queue = new ReportQueue();
  for (const each of [heard(1, true), heard(2, false), heard(3, true)]) queue.add(each);
  assert.deepEqual(queue.take(), [heard(3, false)]);
  queue.add(heard(4, true));
  assert.deepEqual(queue.take(), [heard(4, true)]);
});

test('whoever sends beacons without end fills no memory', () => {
  const queue = new ReportQueue();
  for (let each = 0; each < 5_000; each++) queue.add({ type: 'beacon', ip: '10.0.0.1', uuid: String(each) });
  assert.equal(queue.take().length, 1_024);
});
