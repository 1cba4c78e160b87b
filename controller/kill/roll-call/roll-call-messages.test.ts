import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockOrigin, sinceGiven } from './roll-call-messages.ts';

test('two clocks are one, however often the thread loses the processor between two readings', () => {
  // ns; at 7 s of it the main thread's clock was zero.
  let elapsed = 7_000_000_000n;
  let readings = 0;
  const origin = clockOrigin({
    now: () => {
      const ms = Number(elapsed - 7_000_000_000n) / 1e6;
      // All but one of the readings are torn apart by 40 ms.
      elapsed += readings++ === 3 ? 1_000n : 40_000_000n;
      return ms;
    },
    hrtime: () => elapsed,
  });
  assert.equal(origin, 7_000_001_000n);
});

test('no time since an order is negative', () => {
  const time = { now: 999.9, wall: 0 };
  assert.equal(sinceGiven({ at: 0, since: 1_000 }, { startedAt: 0, time }), 0);
  assert.equal(sinceGiven({ at: 0, since: 400 }, { startedAt: 0, time: { now: 1_000, wall: 0 } }), 600);
  assert.equal(sinceGiven({ at: 50, since: undefined }, { startedAt: 900, time: { now: 1_000, wall: 20 } }), 100);
});
