// The figures to design for: 1,200 boards, 10,000 instances. Prints what it measures.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { InstanceDocument, NodeDocument } from './store/documents.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import { heartbeat, macOf, testImage, testRack } from './rack.fixture.ts';

const nodes = 1_200;
const instances = 10_000;

test('1,200 nodes and 10,000 instances: open, stages at once, permits', async (t) => {
  await using rack = await testRack();
  await rack.ready(macOf(0));
  await rack.inventory.customers.add({ name: 'acme' });
  await rack.inventory.images.save(testImage('web'));
  await rack.inventory.workloads.put({
    customer: 'acme',
    name: 'web',
    spec: { image: 'web', replicas: instances, port: 80 },
  });
  const place = { kind: 'place', customer: 'acme', workload: 'web', node: macOf(0), port: 20_001 } as const;
  await rack.inventory.instances.apply([{ ...place, id: 'web-00000001', specRevision: 1, reason: 'wanted' }]);
  const [node, instance] = [rack.inventory.nodes.get(macOf(0)), rack.inventory.instances.get('web-00000001')];
  assert.ok(node !== undefined && instance !== undefined);
  await rack.inventory[Symbol.asyncDispose]();
  await fill(join(rack.directory, 'inventory.sqlite'), { node, instance });

  const began = performance.now();
  await rack.restart();
  const openMs = performance.now() - began;
  assert.equal(rack.inventory.nodes.all().length, nodes);
  assert.equal(rack.inventory.instances.all().length, instances);

  const permitsBegan = performance.now();
  for (let i = 0; i < nodes; i++) {
    rack.inventory.nodes.heartbeat(macOf(i), { at: rack.now() });
    assert.equal(rack.inventory.nodes.permitted(macOf(i)).length, 1);
    rack.inventory.orders.pending(macOf(i));
  }
  const permitsMs = performance.now() - permitsBegan;
  const stagesBegan = performance.now();
  await Promise.all(
    Array.from({ length: nodes }, (_, i) =>
      rack.inventory.nodes.bootStage({ mac: macOf(i), stage: 'dhcp-discover', firmware: 'uboot' }),
    ),
  );
  const stagesMs = performance.now() - stagesBegan;
  await heartbeat(rack, macOf(0));
  t.diagnostic(
    `open ${openMs.toFixed(0)} ms, ${nodes} permits ${permitsMs.toFixed(0)} ms, ${nodes} boots at once ${stagesMs.toFixed(0)} ms`,
  );
});

async function fill(
  file: string,
  { node, instance }: { node: NodeDocument; instance: InstanceDocument },
): Promise<void> {
  await using store = await openSqliteStore(file);
  const moreNodes = Array.from({ length: nodes }, (_, i): [string, NodeDocument] => [
    `nodes/${macOf(i)}`,
    { ...node, mac: macOf(i), name: `n${i}`, slot: i + 1 },
  ]);
  const moreInstances = Array.from({ length: instances }, (_, i): [string, InstanceDocument] => {
    const id = `web-${(i + 1).toString(16).padStart(8, '0')}`;
    const placed = { ...instance, id, node: macOf(i % nodes), port: 20_000 + (i % 10_000) };
    return [`instances/acme/web/${id}`, { ...placed, desired: { ...instance.desired, id } }];
  });
  await store.transact([...moreNodes, ...moreInstances].map(([key, value]) => ({ key, value })));
}
