import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slots } from './slots.ts';

test('no more than the limit hold a slot; the next in line gets a free one', async () => {
  const slots = new Slots(2);
  const never = new AbortController().signal;
  const first = await slots.take(never);
  await slots.take(never);
  const order: string[] = [];
  const third = slots.take(never).then(() => order.push('third'));
  await Promise.resolve();
  assert.deepEqual(order, []);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await third;
  assert.deepEqual(order, ['third']);
});

test('one that gives up leaves the line', async () => {
  const slots = new Slots(1);
  const never = new AbortController().signal;
  const held = await slots.take(never);
  const impatient = new AbortController();
  const waiting = slots.take(impatient.signal);
  impatient.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  held[Symbol.dispose]();
  await slots.take(never);
});
