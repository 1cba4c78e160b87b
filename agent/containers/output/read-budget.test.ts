import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadBudget } from './read-budget.ts';

test('restAfter() shares a rate among those who print much, and lets the others be', () => {
  const budget = new ReadBudget();
  assert.equal(budget.restAfter(100, 1_000), 10);
  // Two that fill their reads of 16 KiB: 32 ms each.
  assert.equal(budget.restAfter(16_384, 2_000), 32);
  assert.equal(budget.restAfter(16_384, 2_000), 64);
  assert.equal(budget.restAfter(100, 2_064), 10);
  for (let n = 0; n < 100; n++) budget.restAfter(16_384, 3_000);
  assert.equal(budget.restAfter(16_384, 3_000), 3_232);
});
