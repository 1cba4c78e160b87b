import assert from 'node:assert/strict';
import { test } from 'node:test';
import { macOf, testRack } from '../rack.fixture.ts';
import { Memory } from './cache.ts';

const known = (memory: Memory, mac: string) => memory.generation(mac) !== 5n;

test('nothing is kept of the generation of a node that is gone', async () => {
  await using rack = await testRack();
  await rack.ready(macOf(1));
  const node = rack.inventory.nodes.get(macOf(1));
  const memory = new Memory();
  memory.load([], 5);
  memory.apply([{ key: `nodes/${macOf(1)}`, value: node, revision: 6 }]);
  assert.equal(known(memory, macOf(1)), true);
  memory.apply([{ key: `nodes/${macOf(1)}`, value: undefined, revision: 7 }]);
  assert.equal(known(memory, macOf(1)), false);
  memory.apply([{ key: `nodes/${macOf(1)}`, value: node, revision: 8 }]);
  assert.equal(memory.generation(macOf(1)), 8n);
});
