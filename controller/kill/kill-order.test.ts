// Whoever gives an order is told of it when permits follow it, and not before.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openInventory } from '../../inventory/inventory.ts';
import { idleRollCall, openOperatorApi } from '../api/operator-api.fixture.ts';
import { notInForce } from './kill-order.ts';

test('an order is answered when the roll call has taken it, and not before', { timeout: 20_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'kill-order-'));
  const taken = Promise.withResolvers<void>();
  try {
    await using inventory = await openInventory({ directory, now: Date.now, random: randomBytes });
    await inventory.customers.add({ name: 'acme' });
    const rollCall = { ...idleRollCall(), taken: () => taken.promise };
    await using api = await openOperatorApi({ inventory, rollCall, directory: join(directory, 'images') });
    let isAnswered = false;
    const answer = api
      .ask('POST /v1/kill', { body: { customer: 'acme', reason: 'test' } })
      .finally(() => (isAnswered = true));
    while (!inventory.orders.isStored(1) || inventory.orders.get(1) === undefined)
      await new Promise((resolve) => setTimeout(resolve, 5));
    // The disk has it, and whatever waited for that has gone on.
    for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isAnswered, false);
    taken.resolve();
    assert.equal((await answer).status, 201);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('whoever waits in vain is told that nobody knows', async () => {
  const rollCall = { ...idleRollCall(), taken: () => new Promise<void>(() => undefined) };
  const late = await notInForce(rollCall, () => Promise.resolve());
  assert.match(late?.refused ?? '', /^cannot say whether the order is in force: .* within 3 s\. /);
  assert.equal(await notInForce(idleRollCall(), () => new Promise(() => undefined)), undefined);
});
