// Images as things that one manages: the real API over a real inventory, store and conversion.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { sampleArchives } from '../../images/customer/samples.ts';
import { testRack } from '../../inventory/rack.fixture.ts';
import { ImageDetail, Images, PrunedImages } from '../../protocol/api/images.ts';
import { Parse } from 'typebox/value';
import { idleRollCall, openOperatorApi } from '../api/operator-api.fixture.ts';

const samples = (busybox: string) => sampleArchives({ busybox: Buffer.from(busybox), architecture: 'arm64' });

test('images are listed with their users, inspected with their past, kept while used, and pruned', async () => {
  await using rack = await testRack();
  const directory = join(rack.directory, 'images');
  let now = 1_800_000_000_000;
  const wallClock = () => (now += 1_000);
  await using api = await openOperatorApi({
    inventory: rack.inventory,
    rollCall: idleRollCall(),
    directory,
    wallClock,
  });
  const put = (name: string, archive: Buffer) => api.images.receive(Readable.from([archive]), { name, by: 'anna' });
  const files = async () => (await readdir(directory)).filter((name) => name.endsWith('.squashfs')).length;

  const first = await put('web', samples('one').web);
  await rack.inventory.customers.add({ name: 'acme', onSilence: 'stop', memoryBytes: 2 ** 30, processes: 512 });
  await api.ask('PUT /v1/workloads/acme/shop', { body: { image: 'web' } });
  await put('web', samples('two').web);
  await put('web:copy', samples('two').web);
  const last = await put('web', samples('three').web);
  await put('worker', samples('one').worker);
  assert.equal(await files(), 4, 'equal images are one file');

  const { images, used } = Parse(Images, (await api.ask('GET /v1/images')).body);
  assert.deepEqual(
    images.map(({ name }) => name),
    ['web', 'web:copy', 'worker'],
  );
  assert.deepEqual(used, { web: ['acme/shop'] });
  const { image, usedBy, sharedWith } = Parse(ImageDetail, (await api.ask('GET /v1/images/web')).body);
  assert.equal(image.digest, last.digest);
  assert.equal(image.history?.length, 2);
  assert.equal(image.history.at(-1)?.digest, first.digest);
  assert.deepEqual(usedBy, [{ workload: 'acme/shop', digest: first.digest, instances: 0 }]);
  assert.deepEqual(sharedWith, []);
  assert.equal((await api.ask('GET /v1/images/none')).status, 404);

  const refused = await api.ask('DELETE /v1/images/web');
  assert.equal(refused.status, 409);
  assert.match(JSON.stringify(refused.body), /image web is used by acme\/shop: deploy another image there/);

  const prune = async (body: object) => Parse(PrunedImages, (await api.ask('POST /v1/images/prune', { body })).body);
  const tried = await prune({ dryRun: true });
  assert.deepEqual(tried.removed, ['web:copy', 'worker']);
  assert.equal(await files(), 4, 'nothing was done');
  const done = await prune({});
  assert.deepEqual(done, tried);
  assert.equal(await files(), 2, 'what web is, and what acme/shop runs');
  assert.equal((await prune({})).freedBytes, 0);

  await api.ask('PUT /v1/workloads/acme/shop', { body: { image: 'web' } });
  await prune({});
  assert.equal(await files(), 2, 'what acme/shop ran before stays for a rollback');
  await api.ask('DELETE /v1/workloads/acme/shop');
  assert.equal((await api.ask('DELETE /v1/images/web')).status, 200);
  assert.equal(await files(), 0);
});
