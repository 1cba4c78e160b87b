import assert from 'node:assert/strict';
import { test } from 'node:test';
import { macOf, testRack } from '../rack.fixture.ts';
import { Cache } from './cache.ts';

const known = (cache: Cache, mac: string) => cache.generation(mac) !== 5n;

test('nothing is kept of the generation of a node that is gone', async () => {
  await using rack = await testRack();
  await rack.ready(macOf(1));
  const node = rack.inventory.nodes.get(macOf(1));
  const cache = new Cache();
  cache.load([], 5);
  cache.apply([{ key: `nodes/${macOf(1)}`, value: node, revision: 6 }]);
  assert.equal(known(cache, macOf(1)), true);
  cache.apply([{ key: `nodes/${macOf(1)}`, value: undefined, revision: 7 }]);
  assert.equal(known(cache, macOf(1)), false);
  cache.apply([{ key: `nodes/${macOf(1)}`, value: node, revision: 8 }]);
  assert.equal(cache.generation(macOf(1)), 8n);
});
