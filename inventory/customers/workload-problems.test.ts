import assert from 'node:assert/strict';
import { test } from 'node:test';
import { macOf, placeWeb, testRack } from '../rack.fixture.ts';

test('a change is through when all that is wanted is ready and nothing else is left', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  const mac = macOf(1);
  await rack.ready(mac);
  inventory.workloads.setProblems(new Map());
  const { id } = await placeWeb(inventory, { customer: 'acme', nodes: [mac] }).then(
    () => inventory.instances.all()[0] ?? { id: '' },
  );
  const told = async () => {
    const events = await inventory.events.list({ limit: 100, subject: 'acme/web' });
    return events.map(({ message }) => message).filter((message) => message.startsWith('runs'));
  };
  const pass = () => inventory.workloads.setProblems(new Map());
  pass();
  await inventory.instances.report(mac, [{ id, state: 'running', reason: '', ready: false, restarts: 0 }]);
  pass();
  assert.deepEqual(await told(), [], 'it runs and is not ready');
  await inventory.instances.report(mac, [{ id, state: 'running', reason: '', ready: true, restarts: 0 }]);
  pass();
  pass();
  assert.deepEqual(await told(), ['runs as wanted: 1 of acme']);
  await inventory.instances.apply([{ kind: 'drain', id, reason: 'its workload was changed' }]);
  assert.equal(inventory.instances.get(id)?.draining?.reason, 'its workload was changed');
  assert.deepEqual(await inventory.instances.apply([{ kind: 'drain', id, reason: 'twice' }]), { applied: 0 });
});

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

test('one that is stopped is not said to run', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await rack.ready(macOf(1));
  await placeWeb(inventory, { customer: 'acme', nodes: [] });
  inventory.workloads.setProblems(new Map());
  await rack.pass(1_000);
  await inventory.workloads.patch({ customer: 'acme', name: 'web', patch: { stopped: true } });
  inventory.workloads.setProblems(new Map());
  const events = await inventory.events.list({ limit: 100, subject: 'acme/web' });
  assert.equal(events.at(-1)?.message, 'none of it runs, as wanted');
});
