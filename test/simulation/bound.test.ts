// The arithmetic of the five seconds, from the constants of both ends and from the leash's own source. A change of one
// of them alone breaks a line here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  boundMs,
  heartbeatIntervalMs,
  killResendMs,
  killWorkMs,
  leashSweepMs,
  lostAfterMs,
  marginMs,
  permitValidityMs,
  resetMs,
  silentAfterMs,
  stopsByItselfMs,
} from '../../protocol/timing.ts';
import { leashNumbers } from './leash-numbers.ts';

const leash = leashNumbers();
/** /proc/uptime has hundredths. */
const hundredthMs = 10;

test('permit, sweep, dying, reset and margin are the five seconds, exactly', () => {
  assert.equal(boundMs, 5_000);
  assert.equal(permitValidityMs + leashSweepMs + killWorkMs + resetMs + marginMs, boundMs);
});

test('the leash waits and clamps by the protocol’s numbers', () => {
  assert.equal(leash.readWaitMs, leashSweepMs);
  assert.equal(leash.clampMs, permitValidityMs);
  assert.ok(leash.leastGapMs <= leash.readWaitMs - hundredthMs, 'a wait that ended must always sweep');
});

test('whoever is silent has stopped before silence is taken for a stop', () => {
  // No lines come from an agent that hears nothing and vouches for nobody: the leash sweeps after each wait.
  assert.equal(stopsByItselfMs, permitValidityMs + leash.readWaitMs + killWorkMs + resetMs);
  assert.ok(stopsByItselfMs + marginMs <= boundMs);
  assert.ok(silentAfterMs >= permitValidityMs && silentAfterMs < stopsByItselfMs && stopsByItselfMs < lostAfterMs);
});

/** A line just before a look is due puts it off by one wait. */
const worstSweepMs = leash.leastGapMs + leash.readWaitMs + hundredthMs;

test('the bound holds where an agent goes on writing lines for others', () => {
  assert.ok(permitValidityMs + worstSweepMs + killWorkMs + resetMs < boundMs);
});

test('what outlives its kill takes the board along, inside the bound', () => {
  // Its first look kills; between two looks passes a wait, and what a look at thirty customers takes a small board.
  const lookMs = leash.dyingWaitMs + 2 * hundredthMs;
  assert.ok(leash.patientLooks * lookMs <= killWorkMs + resetMs, 'the reset comes in time');
  assert.ok(leash.patientLooks * leash.dyingWaitMs >= 750, 'ordinary processes have time to die');
  assert.ok(permitValidityMs + worstSweepMs + leash.patientLooks * lookMs < boundMs);
  assert.ok(leash.dyingGapMs <= leash.dyingWaitMs, 'a wait that ended must always look');
});

test('a board whose leash or kernel hangs is reset before the permits of that moment have run out', () => {
  // Fed at the last look before it hung; what hangs with the kernel runs nothing.
  assert.ok(leash.watchdogMs + worstSweepMs < permitValidityMs);
  // The leash must be able to feed in time, however its looks fall.
  assert.ok(2 * (leash.leastGapMs + leash.readWaitMs) < leash.watchdogMs);
});

test('two heartbeats in a row may be lost, and a controller may be away for as long as that', () => {
  assert.ok(3 * heartbeatIntervalMs < permitValidityMs);
  // The fourth one leaves when the permit ends: three lost in a row stop everybody on the node.
  assert.ok(4 * heartbeatIntervalMs >= permitValidityMs);
  assert.equal(permitValidityMs - 2 * heartbeatIntervalMs, 1_500);
});

test('an order that is not acknowledged is sent many times within one permit', () => {
  // 0.7 of them arrive at 30 % loss: what is left is one in 10,000,000.
  assert.ok(0.3 ** (permitValidityMs / 2 / killResendMs) < 1e-7);
});
