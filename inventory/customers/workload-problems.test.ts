import assert from 'node:assert/strict';
import { test } from 'node:test';
import { macOf, placeWeb, testRack } from '../rack.fixture.ts';

test('that a workload runs as wanted again is said when it runs, not when nothing is in the way any more', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  const mac = macOf(1);
  await rack.ready(mac);
  const told = async () => {
    const events = await inventory.events.list({ limit: 100, subject: 'acme/web' });
    return events.map(({ message }) => message).filter((message) => !message.startsWith('created'));
  };
  await placeWeb(inventory, { customer: 'acme', nodes: [mac] });
  inventory.workloads.setProblems(new Map([['acme/web', 'no node is ready']]));
  inventory.workloads.setProblems(new Map());
  assert.deepEqual(await told(), ['no node is ready']);
  const [instance] = inventory.instances.all();
  await inventory.instances.report(mac, [{ id: instance?.id ?? '', state: 'running', reason: '', restarts: 0 }]);
  inventory.workloads.setProblems(new Map());
  inventory.workloads.setProblems(new Map());
  assert.deepEqual(await told(), ['no node is ready', 'runs as wanted again']);
});
