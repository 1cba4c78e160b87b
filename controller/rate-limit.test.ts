import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimit } from './rate-limit.ts';

test('a source has its burst and then its share a second, whatever others ask for', () => {
  let now = 0;
  const limit = new RateLimit({ burst: 3, perSecond: 2, now: () => now });
  const granted = (source: string) => Array.from({ length: 5 }, () => limit.admit(source)).filter(Boolean).length;
  assert.equal(granted('a'), 3);
  assert.equal(granted('b'), 3);
  now += 1_000;
  assert.equal(granted('a'), 2);
  now += 60_000;
  assert.equal(granted('a'), 3);
  now -= 60_000; // the clock was set back
  assert.equal(granted('a'), 0);
});
