import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import type { Inventory } from '../inventory/inventory.ts';
import { macOf, testImage, testRack } from '../inventory/rack.fixture.ts';
import { workloadView } from '../controller/api/views.ts';
import { execute } from './execute.ts';
import { startScheduler } from './loop.ts';
import { plan } from './plan.ts';
import { readWorld } from './world.ts';

const boundMs = 20_000;

/** Waits for the thing itself: looked at after each change. */
async function until(inventory: Inventory, holds: () => boolean): Promise<void> {
  const changes = new EventEmitter();
  const end = inventory.subscribe(() => changes.emit('change'));
  try {
    const signal = AbortSignal.timeout(boundMs);
    while (!holds()) await once(changes, 'change', { signal });
  } finally {
    end();
  }
}

test('a deployed workload is placed, repaired when its node is removed, complained about when it has no place', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  const failures: unknown[] = [];
  await using stack = new AsyncDisposableStack();
  stack.use(startScheduler({ inventory, onFailure: (error) => failures.push(error), now: rack.now }));
  await inventory.customers.add({ name: 'acme' });
  await inventory.images.save(testImage('web'));
  await inventory.workloads.put({ customer: 'acme', name: 'web', spec: { image: 'web', replicas: 2, port: 80 } });
  await until(inventory, () => inventory.workloads.problemOf('acme', 'web') !== '');
  assert.equal(
    workloadView(inventory, { customer: 'acme', name: 'web' })?.problem,
    '2 of 2 replicas have no place: no node is ready',
  );
  await rack.ready(macOf(1));
  await rack.ready(macOf(2));
  await until(inventory, () => inventory.instances.all().length === 2);
  await until(inventory, () => inventory.workloads.problemOf('acme', 'web') === '');
  await inventory.nodes.patch(macOf(1), { fenced: true });
  await until(inventory, () => inventory.instances.on(macOf(2)).length === 2);
  assert.equal(inventory.instances.on(macOf(1)).length, 0);
  assert.deepEqual(failures, []);
});

test('what time alone makes due is done without any change', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await inventory.customers.add({ name: 'acme' });
  await inventory.images.save(testImage('web'));
  await inventory.workloads.put({ customer: 'acme', name: 'web', spec: { image: 'web', replicas: 1 } });
  await rack.ready(macOf(1));
  let later = 0;
  await using stack = new AsyncDisposableStack();
  stack.use(startScheduler({ inventory, onFailure: assert.ifError, now: () => rack.now() + later }));
  await until(inventory, () => inventory.instances.all().length === 1);
  const [first] = inventory.instances.all();
  assert.ok(first);
  const failed = { id: first.id, state: 'failed', reason: 'disk', restarts: 0 } as const;
  await inventory.instances.report(first.node, [failed]);
  await until(inventory, () => inventory.workloads.problemOf('acme', 'web') !== '');
  later = 5_000;
  await until(inventory, () => inventory.instances.get(first.id) === undefined);
  assert.equal(inventory.instances.all().length, 1);
});

test('a plan carried out twice is carried out once', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await inventory.customers.add({ name: 'acme' });
  await inventory.images.save(testImage('web'));
  await inventory.workloads.put({ customer: 'acme', name: 'web', spec: { image: 'web', replicas: 3 } });
  await rack.ready(macOf(1));
  const steps = plan(readWorld(inventory), rack.now());
  await Promise.all([execute(inventory, steps), execute(inventory, steps)]);
  assert.equal(inventory.instances.all().length, 3);
  assert.deepEqual(plan(readWorld(inventory), rack.now()).actions, []);
});

test('a plan that cannot be stored is reported, and the loop stops when it is told', async () => {
  const rack = await testRack();
  await rack.inventory.customers.add({ name: 'acme' });
  await rack.inventory.images.save(testImage('web'));
  await rack.inventory.workloads.put({ customer: 'acme', name: 'web', spec: { image: 'web', replicas: 1 } });
  await rack.ready(macOf(1));
  await rack.inventory[Symbol.asyncDispose]();
  const failed = Promise.withResolvers<unknown>();
  const scheduler = startScheduler({ inventory: rack.inventory, onFailure: failed.resolve, now: rack.now });
  assert.match(String(await failed.promise), /is closed/);
  await scheduler[Symbol.asyncDispose]();
  await rack.restart();
  await rack[Symbol.asyncDispose]();
});
