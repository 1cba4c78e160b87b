import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleeplessClock } from './sleepless-clock.ts';

test('sleeplessClock() goes on while the board is suspended, and is as fine as the monotonic clock while it is not', () => {
  let monotonicMs = 1_000;
  let uptimeSeconds = 42.5;
  const now = sleeplessClock({ monotonicMs: () => monotonicMs, uptimeSeconds: () => uptimeSeconds });
  assert.equal(now(), 1_000);
  monotonicMs += 0.5;
  assert.equal(now(), 1_000.5, 'the uptime is coarser');
  monotonicMs += 4;
  uptimeSeconds += 0.01;
  assert.equal(now(), 1_004.5);
  uptimeSeconds += 3_600;
  assert.ok(Math.abs(now() - 3_601_004.5) <= 10, `${now()}`);
  const wokenMs = now();
  monotonicMs += 100;
  uptimeSeconds += 0.1;
  assert.equal(now(), wokenMs + 100);
  uptimeSeconds += 5;
  assert.ok(now() >= wokenMs + 5_099, 'and again');
});
