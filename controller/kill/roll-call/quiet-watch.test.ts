import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QuietWatch } from './quiet-watch.ts';

test('silence is counted while one looks, from the last word on', () => {
  const watch = new QuietWatch({ now: 1_000, longestGapMs: 200 });
  assert.equal(watch.look(1_100), 100);
  assert.equal(watch.look(1_200), 200);
  watch.spoke();
  assert.equal(watch.look(1_300), 100);
});

test('what one slept through is nobody’s silence, and a clock that goes back is none', () => {
  const watch = new QuietWatch({ now: 1_000, longestGapMs: 200 });
  assert.equal(watch.look(61_000), 200);
  assert.equal(watch.look(60_000), 200);
  assert.equal(watch.look(60_100), 300);
});
