import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Semaphore } from './semaphore.ts';

test('no more than the limit hold a slot; the next in line gets a free one', async () => {
  const semaphore = new Semaphore(2);
  const never = new AbortController().signal;
  const first = await semaphore.acquire(never);
  await semaphore.acquire(never);
  const order: string[] = [];
  const third = semaphore.acquire(never).then(() => order.push('third'));
  await Promise.resolve();
  assert.deepEqual(order, []);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await third;
  assert.deepEqual(order, ['third']);
});

test('one that gives up leaves the line', async () => {
  const semaphore = new Semaphore(1);
  const never = new AbortController().signal;
  const held = await semaphore.acquire(never);
  const impatient = new AbortController();
  const waiting = semaphore.acquire(impatient.signal);
  impatient.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  held[Symbol.dispose]();
  await semaphore.acquire(never);
});
