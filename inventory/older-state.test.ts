// What stands in the store is read by later versions: its names are understood, whatever the code calls them.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openInventory } from './inventory.ts';
import { macOf, machine } from './rack.fixture.ts';
import { openSqliteStore } from './store/sqlite-store.ts';

/** Of all collections, as written before the room was divided by topics. */
const documents = join(import.meta.dirname, 'older-state.fixture.json');

test('a state directory of an older version opens, and nothing in it is lost', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-older-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true }));
  const older: unknown = JSON.parse(await readFile(documents, 'utf8'));
  assert.ok(typeof older === 'object' && older !== null);
  {
    await using store = await openSqliteStore(join(directory, 'inventory.sqlite'));
    await store.transact(Object.entries(older).map(([key, value]: [string, unknown]) => ({ key, value })));
  }
  const inventory = stack.use(
    await openInventory({ directory, now: () => 1_800_000_001_000, random: (bytes) => Buffer.alloc(bytes, 7) }),
  );
  const [first, second] = [macOf(1), macOf(2)];
  assert.equal(inventory.epoch, 2);
  assert.deepEqual(inventory.problems(), []);
  assert.deepEqual(
    inventory.nodes.all().map(({ mac, state }) => [mac, state]),
    [
      [first, 'ready'],
      [second, 'loading'],
    ],
  );
  assert.equal(inventory.nodes.sessionOf(first)?.id, '1'.repeat(32));
  assert.equal((await inventory.leases.load())[0]?.mac, first);
  assert.equal(inventory.customers.get('acme')?.uidBase, 1_048_576);
  assert.equal(inventory.images.get('web')?.architecture, 'arm64');
  assert.equal(inventory.workloads.get('acme', 'web')?.spec.port, 80);
  const [instance] = inventory.instances.on(first);
  assert.equal(instance?.id, 'web-00000001');
  assert.deepEqual(inventory.workloads.configuration(instance.desired.configuration)?.args, ['/bin/app', 'serve']);
  assert.equal(inventory.instances.nextNumber(), 2);
  assert.deepEqual(
    inventory.orders.all().map(({ number, scope, liftedAt }) => [number, scope, liftedAt === null]),
    [
      [1, 'bolt', false],
      [2, 'acme', true],
    ],
  );
  assert.equal(inventory.orders.killedBy('acme'), 2);
  assert.equal(inventory.orders.receipts(2)[0]?.evidenceAfterMs, 120.5);
  assert.equal(inventory.orders.escalationSteps(2, first)[0]?.by, 'ssh');
  assert.equal(inventory.operators.find('a'.repeat(64))?.name, 'root');
  assert.equal(inventory.operators.all()[0]?.name, 'anna');
  assert.equal(inventory.approvals.get(1)?.by, 'anna');
  assert.equal(inventory.drills.current()?.customer, 'canary');
  assert.deepEqual(inventory.drills.get(1)?.result?.unacknowledged, ['node-c20001']);
  assert.equal(inventory.drills.schedule()?.everySeconds, 86_400);
  // Its join token was issued before.
  const joined = await inventory.nodes.join(
    { mac: second, bootId: 'b', token: '0'.repeat(64), ...machine },
    '10.77.0.51',
  );
  assert.ok('session' in joined, JSON.stringify(joined));
});
