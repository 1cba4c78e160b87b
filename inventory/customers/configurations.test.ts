import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { configurationDigest } from '../../protocol/desired-state.ts';
import type { WorkloadDocument } from '../store/documents.ts';
import { openSqliteStore } from '../store/sqlite-store.ts';
import { macOf, testImage, testRack, type TestRack } from '../rack.fixture.ts';

const mac = macOf(1);

async function stored(rack: TestRack): Promise<string[]> {
  await rack.inventory[Symbol.asyncDispose]();
  let keys: string[] = [];
  {
    await using store = await openSqliteStore(join(rack.directory, 'inventory.sqlite'));
    keys = (await store.list('configurations/')).documents.map(({ key }) => key.slice('configurations/'.length));
  }
  await rack.restart();
  return keys;
}

function placements(count: number, { from = 1, specRevision = 1 } = {}) {
  return Array.from({ length: count }, (_, index) => ({
    kind: 'place' as const,
    id: `web-${(from + index).toString(16).padStart(8, '0')}`,
    customer: 'acme',
    workload: 'web',
    node: mac,
    port: null,
    specRevision,
    reason: 'wanted',
  }));
}

async function withWeb(env: Record<string, string>): Promise<TestRack> {
  const rack = await testRack();
  await rack.ready(mac);
  await rack.inventory.customers.add({ name: 'acme' });
  await rack.inventory.images.save(testImage('web'));
  await rack.inventory.workloads.put({ customer: 'acme', name: 'web', spec: { image: 'web', replicas: 3, env } });
  return rack;
}

test('replicas share one configuration, which goes with the last of them', async () => {
  await using rack = await withWeb({ A: '1' });
  await rack.inventory.instances.apply(placements(3));
  const [first] = await stored(rack);
  assert.deepEqual(await stored(rack), [first]);
  await rack.inventory.workloads.put({
    customer: 'acme',
    name: 'web',
    spec: { image: 'web', replicas: 3, env: { A: '2' } },
  });
  await rack.inventory.instances.apply(placements(1, { from: 4, specRevision: 2 }));
  assert.equal((await stored(rack)).length, 2);
  await rack.inventory.instances.apply([remove(1), remove(2)]);
  assert.equal((await stored(rack)).length, 2, 'one of the old ones is left');
  await rack.inventory.instances.apply([remove(3)]);
  const [second, ...others] = await stored(rack);
  assert.deepEqual(others, []);
  assert.notEqual(second, first);
  await rack.inventory.workloads.remove({ customer: 'acme', name: 'web' });
  assert.deepEqual(await stored(rack), []);
});

test('what an image and a workload amount to is bounded when it is deployed', async () => {
  await using rack = await withWeb({});
  const env = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`V${index}`, 'x'.repeat(4_000)]));
  assert.deepEqual(
    await rack.inventory.workloads.put({ customer: 'acme', name: 'big', spec: { image: 'web', replicas: 1, env } }),
    {
      refused:
        'cannot deploy acme/big: with what image web brings, its environment is 36073 bytes, want at most 32768; ' +
        'the largest entry, "V0", has 4005: put such data into a file of the image',
    },
  );
  assert.equal(rack.inventory.workloads.get('acme', 'big'), undefined);
});

test('a store of an earlier version, with 1.2 MB of environment in an image: it opens, and only that workload is refused', async (t) => {
  await using rack = await withWeb({});
  await rack.inventory.workloads.put({ customer: 'acme', name: 'small', spec: { image: 'web', replicas: 1 } });
  await rack.inventory.instances.apply([
    ...placements(3),
    ...placements(1, { from: 4 }).map((each) => ({ ...each, workload: 'small', id: 'small-00000004' })),
  ]);
  await rack.inventory[Symbol.asyncDispose]();
  const big = `MODEL=${'x'.repeat(1_200_000)}`;
  const configuration = { args: ['/bin/app', 'serve'], env: ['PATH=/bin', big], workingDir: '/' };
  {
    await using store = await openSqliteStore(join(rack.directory, 'inventory.sqlite'));
    const { documents } = await store.list('');
    await store.transact(
      documents.flatMap(({ key, value }) => {
        if (key.startsWith('configurations/')) return [{ key, value: undefined }];
        if (key === 'workloads/acme/web') {
          const workload = value as WorkloadDocument; // as the inventory wrote it just now
          const config = { ...workload.image.config, env: configuration.env };
          return [{ key, value: { ...workload, image: { ...workload.image, config } } }];
        }
        if (!key.startsWith('instances/')) return [];
        const small = { ...configuration, env: ['PATH=/bin'] };
        const own = key.includes('/web/') ? configuration : small;
        const { configuration: _, ...desired } = Object(value).desired;
        return [{ key, value: { ...Object(value), desired: { ...desired, ...own } } }];
      }),
    );
  }
  const beganMs = performance.now();
  await rack.restart();
  t.diagnostic(`open ${Math.round(performance.now() - beganMs)} ms`);
  assert.deepEqual(rack.inventory.workloads.configuration(configurationDigest(configuration)), configuration);
  const desired = rack.inventory.nodes.desired(mac);
  assert.equal(desired.instances.length, 4);
  assert.ok(JSON.stringify(desired).length < 4_000, 'no environment is in the desired state');
  assert.equal((await stored(rack)).length, 2);
  // Nothing more is placed of it.
  assert.deepEqual(await rack.inventory.instances.apply(placements(1, { from: 5 })), { applied: 0 });
});

test('a thousand instances on a board, and not one more', async () => {
  await using rack = await withWeb({});
  assert.deepEqual(await rack.inventory.instances.apply(placements(1_001)), { applied: 1_000 });
});

test('an instance that its node no longer reports is not shown as running', async () => {
  await using rack = await withWeb({});
  await rack.inventory.instances.apply(placements(3));
  const states = () => [1, 2, 3].map((number) => rack.inventory.instances.get(`web-0000000${number}`)?.state);
  await rack.inventory.instances.report(mac, [running('web-00000001'), running('web-00000002')]);
  assert.deepEqual(states(), ['running', 'running', 'placed']);
  const failed = { id: 'web-00000003', state: 'failed' as const, reason: 'no disk', restarts: 0 };
  await rack.inventory.instances.report(mac, [running('web-00000001'), failed]);
  assert.deepEqual(states(), ['running', 'placed', 'failed']);
  assert.equal(rack.inventory.instances.get('web-00000002')?.reason, 'its node no longer reports it');
  // The board starts again: its new agent has nothing yet.
  await rack.inventory.instances.report(mac, []);
  assert.deepEqual(states(), ['placed', 'placed', 'failed']);
  await rack.inventory.instances.report(mac, [running('web-00000001')]);
  await rack.inventory.orders.kill({ scope: 'acme', reason: 'test', by: 'anna', targets: [mac] });
  await rack.inventory.instances.report(mac, []);
  assert.deepEqual(states(), ['stopped', 'placed', 'failed']);
});

function remove(number: number) {
  return { kind: 'remove' as const, id: `web-0000000${number}`, reason: 'old' };
}

function running(id: string) {
  return { id, state: 'running' as const, reason: '', restarts: 0 };
}
