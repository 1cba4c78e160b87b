import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Placement } from '../inventory/customers/placement.ts';
import { macOf, testImage, testRack } from '../inventory/rack.fixture.ts';
import { execute } from './execute.ts';
import { plan } from './plan.ts';
import { Touched } from './touched.ts';
import { readWorld } from './world.ts';

test('steps of a workload, node, customer or instance that changed meanwhile are left to the next pass, others are not', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await inventory.images.save(testImage('web'));
  for (const mac of [macOf(1), macOf(2)]) await rack.ready(mac);
  for (const name of ['acme', 'bolt', 'cord', 'dent']) {
    await inventory.customers.add({ name });
    await inventory.workloads.put({ customer: name, name: 'web', spec: { image: 'web', replicas: 1 } });
  }
  await execute(inventory, plan(readWorld(inventory), rack.now()));
  const placed = inventory.instances.all();
  assert.equal(placed.length, 4);
  const idOf = (customer: string) => placed.find((each) => each.customer === customer)?.id ?? '';
  const remove = (customer: string): Placement => ({ kind: 'remove', id: idOf(customer), reason: 'test' });
  const node = placed.find(({ customer }) => customer === 'dent')?.node ?? '';
  const place = (customer: string): Placement => {
    const [port, specRevision, reason] = [null, 1, 'test'] as const;
    return { kind: 'place', id: `of ${customer}`, customer, workload: 'web', node, port, specRevision, reason };
  };

  const touched = new Touched();
  using stack = new DisposableStack();
  stack.defer(inventory.subscribe((change) => void touched.note(change)));
  const actions = ['acme', 'bolt', 'cord', 'dent'].flatMap((customer) => [place(customer), remove(customer)]);
  const left = () => new Set(touched.without(actions, inventory).map(({ id }) => id));
  assert.equal(left().size, actions.length);
  await inventory.workloads.put({ customer: 'acme', name: 'web', spec: { image: 'web', replicas: 2 } });
  assert.deepEqual([left().has('of acme'), left().has(idOf('acme'))], [false, false]);
  const [instance] = inventory.instances.of('bolt');
  assert.ok(instance);
  await inventory.instances.report(instance.node, [{ id: instance.id, state: 'failed', reason: 'disk', restarts: 1 }]);
  assert.deepEqual([left().has('of bolt'), left().has(idOf('bolt'))], [false, false]);
  await inventory.orders.kill({ scope: 'cord', reason: 'test', by: 'operator', targets: [] });
  assert.deepEqual([left().has('of cord'), left().has(idOf('cord'))], [false, false]);
  assert.deepEqual([left().has('of dent'), left().has(idOf('dent'))], [true, true]);
  await inventory.nodes.patch(node, { name: 'renamed' });
  assert.equal(left().size, 0);
  touched.clear();
  assert.equal(left().size, actions.length);
});
