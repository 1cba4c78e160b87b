import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inOneGo, inSlices, type Sliced, sorted } from './slices.ts';

const compare = (a: number, b: number) => a - b;

test('sorted() sorts as toSorted does', () => {
  let seed = 7;
  for (const length of [0, 1, 255, 256, 257, 1_000, 5_000]) {
    const items = Array.from({ length }, (_, index) => {
      seed = (seed * 16_807) % 2_147_483_647;
      return seed * 10_000 + index;
    });
    assert.deepEqual(inOneGo(sorted(items, compare)), items.toSorted(compare));
  }
});

function* work(steps: number): Sliced<string> {
  for (let step = 0; step < steps; step++) yield;
  return 'done';
}

test('others have their turn once 2 ms are used up', async () => {
  let now = 0;
  let turns = 0;
  const clock = () => (now += 0.5);
  const nextTurn = () => Promise.resolve(turns++);
  assert.equal(await inSlices(work(100), { nextTurn, clock }), 'done');
  assert.equal(turns, 25);
});
