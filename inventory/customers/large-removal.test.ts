// Removing thousands of instances holds nobody up, and nobody takes for its own what is still to be removed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Inventory } from '../inventory.ts';
import { macOf, testImage, testRack } from '../rack.fixture.ts';
import { instanceId } from './placement.ts';

const web = { customer: 'acme', name: 'web' };

async function withInstances(inventory: Inventory, count: number): Promise<void> {
  await inventory.customers.add({ name: 'acme' });
  await inventory.images.save(testImage('web'));
  await inventory.workloads.put({ ...web, spec: { image: 'web', replicas: count } });
  const place = { kind: 'place', customer: 'acme', workload: 'web', node: macOf(1), port: null } as const;
  await inventory.instances.apply(
    Array.from({ length: count }, (_, at) => ({
      ...place,
      id: instanceId('web', at + 1),
      specRevision: 1,
      reason: 'wanted',
    })),
  );
  assert.equal(inventory.instances.all().length, count);
}

test('what is asked for while a large workload is removed does not wait for the end', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await rack.ready(macOf(1));
  await withInstances(inventory, 450);
  const removing = inventory.workloads.remove(web);
  await inventory.customers.add({ name: 'bolt' });
  assert.ok(inventory.instances.all().length > 0, 'all were removed in one transaction');
  assert.deepEqual(await removing, { removed: 'acme/web' });
  assert.deepEqual(inventory.instances.all(), []);
});

test('a workload that is put while its predecessor is removed counts none of its instances as up to date', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await rack.ready(macOf(1));
  await withInstances(inventory, 3);
  const removing = inventory.workloads.remove(web);
  const again = await inventory.workloads.put({ ...web, spec: { image: 'web', replicas: 3 } });
  assert.ok('workload' in again && again.workload.specRevision === 2, JSON.stringify(again));
  await removing;
  assert.deepEqual(inventory.instances.all(), []);
});
