import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../../test/until.ts';
import { pacer } from './pacer.ts';

const { signal } = new AbortController();

test('checks start at a pace, however many want to', async () => {
  const { paced } = pacer({ gapMs: 20, atOnce: Infinity });
  const began = performance.now();
  const started: number[] = [];
  const check = () => Promise.resolve(started.push(performance.now()));
  await Promise.all(Array.from({ length: 10 }, () => paced(check, { customer: 'acme', signal })));
  assert.equal(started.length, 10);
  // A timer may fire a part of a millisecond early.
  assert.ok(performance.now() - began >= 9 * 19, 'nine pauses of 20 ms');
});

test('one customer’s queue, and its checks that hang, keep nobody else waiting', async () => {
  const { paced } = pacer({ gapMs: 1, atOnce: 1 });
  const over = new AbortController();
  const hang = () => pause(60_000, undefined, { signal: over.signal });
  const hanging = Promise.allSettled(
    Array.from({ length: 100 }, () => paced(hang, { customer: 'acme', signal: over.signal })),
  );
  for (let i = 0; i < 5; i++) assert.equal(await paced(() => Promise.resolve(i), { customer: 'bolt', signal }), i);
  over.abort(new Error('over'));
  const outcomes = await hanging;
  assert.ok(outcomes.every(({ status }) => status === 'rejected'));
});

test('customers take turns', async () => {
  const { paced } = pacer({ gapMs: 1, atOnce: 1 });
  const order: string[] = [];
  const ask = (customer: string) =>
    paced(
      async () => {
        await pause(5);
        order.push(customer);
      },
      { customer, signal },
    );
  const asked = [...Array.from({ length: 6 }, () => ask('acme')), ask('bolt')];
  await Promise.all(asked);
  assert.ok(order.indexOf('bolt') < 3, order.join(' '));
});

test('who is no longer asked leaves the queue, and the rest goes on', async () => {
  const { paced } = pacer({ gapMs: 1, atOnce: 1 });
  const leaving = new AbortController();
  const first = Promise.withResolvers<void>();
  const held = paced(() => first.promise, { customer: 'acme', signal });
  const left = assert.rejects(
    paced(() => Promise.resolve(), { customer: 'acme', signal: leaving.signal }),
    /gone/,
  );
  let last = false;
  const waits = paced(() => Promise.resolve((last = true)), { customer: 'acme', signal });
  leaving.abort(new Error('gone'));
  await left;
  first.resolve();
  await Promise.all([held, waits]);
  await until('the last one is asked', () => last);
});
