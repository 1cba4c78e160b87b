import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hoarder, unreclaimableBytes } from './kernel-memory.ts';

const mb = 2 ** 20;

test('unreclaimableBytes() reads memory.stat', () => {
  assert.equal(unreclaimableBytes('slab_reclaimable 7\nslab_unreclaimable 4711\nslab 4718\n'), 4711);
  assert.equal(unreclaimableBytes(undefined), 0);
});

test('hoarder() names the instance that takes most, once its customer takes too much', () => {
  const instances = () => [
    { id: 'web-00000001', bytes: 2 * mb },
    { id: 'web-00000002', bytes: 50 * mb },
  ];
  assert.equal(
    hoarder(48 * mb, () => assert.fail('not asked for')),
    undefined,
  );
  assert.deepEqual(hoarder(52 * mb, instances), {
    id: 'web-00000002',
    reason: "too much kernel memory: 50 MB of its customer's 52, want 48 at most",
  });
  assert.equal(
    hoarder(52 * mb, () => []),
    undefined,
  );
});
