// The arithmetic of the five seconds, from the constants of both ends and from the leash's own source. A change of one
// of them alone breaks a line here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silenceProvesStopMs } from '../../controller/roll-call.ts';
import {
  boundMs,
  heartbeatIntervalMs,
  killResendMs,
  killWorkMs,
  leashSweepMs,
  lostAfterMs,
  marginMs,
  permitValidityMs,
  silentAfterMs,
} from '../../protocol/timing.ts';
import { leashNumbers } from './leash-numbers.ts';

const leash = leashNumbers();
/** /proc/uptime has hundredths. */
const hundredthMs = 10;

test('permit, sweep, kill and margin are the five seconds, exactly', () => {
  assert.equal(boundMs, 5_000);
  assert.equal(permitValidityMs + leashSweepMs + killWorkMs + marginMs, boundMs);
});

test('the leash waits and clamps by the protocol’s numbers', () => {
  assert.equal(leash.readWaitMs, leashSweepMs);
  assert.equal(leash.clampMs, permitValidityMs);
  assert.ok(leash.leastGapMs <= leash.readWaitMs - hundredthMs, 'a wait that ended must always sweep');
});

test('whoever is silent has stopped before silence is taken for a stop', () => {
  // No lines come from an agent that hears nothing and vouches for nobody: the leash sweeps after each wait.
  assert.equal(silenceProvesStopMs, permitValidityMs + leash.readWaitMs + killWorkMs);
  assert.ok(silenceProvesStopMs + marginMs <= boundMs);
  assert.ok(
    silentAfterMs >= permitValidityMs && silentAfterMs < silenceProvesStopMs && silenceProvesStopMs < lostAfterMs,
  );
});

test('the bound holds where an agent goes on writing lines for others', () => {
  // A line just before a sweep is due puts it off by one wait.
  const worstSweepMs = leash.leastGapMs + leash.readWaitMs + hundredthMs;
  assert.ok(permitValidityMs + worstSweepMs + killWorkMs < boundMs);
});

test('a board whose leash or kernel hangs is reset inside the bound', () => {
  // Fed at the last sweep before it hung; what hangs with the kernel runs nothing.
  assert.ok(leash.watchdogMs + leash.readWaitMs + leash.leastGapMs < boundMs);
  // The leash must be able to feed in time, however its sweeps fall.
  assert.ok(2 * (leash.leastGapMs + leash.readWaitMs) < leash.watchdogMs);
});

test('what hangs in the kernel has its kill pending inside the bound, and goes with the board soon after', () => {
  assert.ok(leash.stuckMs > killWorkMs, 'an ordinary kill must not reset a board');
  const sweepMs = leash.leastGapMs + leash.readWaitMs + hundredthMs;
  assert.ok(permitValidityMs + sweepMs < boundMs);
  assert.ok(permitValidityMs + sweepMs + leash.stuckMs + sweepMs + leash.watchdogMs <= 2 * boundMs);
});

test('two heartbeats in a row may be lost, and a controller may be away for as long as that', () => {
  assert.ok(3 * heartbeatIntervalMs < permitValidityMs);
  // The fourth one leaves when the permit ends: three lost in a row stop everybody on the node.
  assert.ok(4 * heartbeatIntervalMs >= permitValidityMs);
  assert.equal(permitValidityMs - 2 * heartbeatIntervalMs, 1_500);
});

test('an order that is not confirmed is sent many times within one permit', () => {
  // 0.7 of them arrive at 30 % loss: what is left is one in 10,000,000.
  assert.ok(0.3 ** (permitValidityMs / 2 / killResendMs) < 1e-7);
});
