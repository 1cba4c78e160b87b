import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadBudget } from './read-budget.ts';

test('restAfter() shares a rate among those who print much, and lets the others be', () => {
  const budget = new ReadBudget();
  assert.equal(budget.restAfter(100, 1_000), 10);
  // Two that fill their reads of 8 KiB: 8 ms each.
  assert.equal(budget.restAfter(8_192, 2_000), 10);
  assert.equal(budget.restAfter(8_192, 2_000), 16);
  assert.equal(budget.restAfter(8_192, 2_016), 10);
  for (let n = 0; n < 100; n++) budget.restAfter(8_192, 3_000);
  assert.equal(Math.round(budget.restAfter(8_192, 3_000)), 808);
});
