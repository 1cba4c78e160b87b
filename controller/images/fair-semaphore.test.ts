import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairSemaphore } from './fair-semaphore.ts';

test('FairSemaphore: in order, but one owner leaves a place for others', async () => {
  const semaphore = new FairSemaphore({ most: 3, mostOfOne: 2, mostWaiting: 3 });
  const begun: string[] = [];
  const held = new Map<string, Disposable>();
  const acquire = (what: string, owner: string) =>
    semaphore.acquire(owner)?.then((acquired) => {
      begun.push(what);
      held.set(what, acquired);
    });
  const asked = ['a1', 'a2', 'a3', 'a4'].map((what) => acquire(what, 'anna'));
  asked.push(acquire('b1', 'ben'));
  await Promise.all([asked[0], asked[1], asked[4]]);
  assert.deepEqual(begun, ['a1', 'a2', 'b1']);
  asked.push(acquire('c1', 'carl'));
  assert.equal(semaphore.waiting, 3);
  assert.equal(semaphore.acquire('dora'), undefined, 'three wait already');
  held.get('b1')?.[Symbol.dispose]();
  await asked[5];
  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'c1'], 'anna has two already');
  held.get('a1')?.[Symbol.dispose]();
  await asked[2];
  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'c1', 'a3']);
});
