import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as timing from './timing.ts';

test('the parts of the bound add up to the promise', () => {
  const { permitValidityMs, leashSweepMs, killWorkMs, resetMs, marginMs, boundMs } = timing;
  assert.equal(permitValidityMs + leashSweepMs + killWorkMs + resetMs + marginMs, boundMs);
});

test('a node may lose two heartbeats in a row and keep its permit', () => {
  assert.ok(3 * timing.heartbeatIntervalMs < timing.permitValidityMs);
});
