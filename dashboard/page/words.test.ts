import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytes, clampShare, duration, percent, plural, seconds, webAddress } from './words.ts';

test('durations', () => {
  const cases = [
    [-5, '0 s'],
    [41_999, '41 s'],
    [192_000, '3 min 12 s'],
    [7_500_000, '2 h 5 min'],
    [273_600_000, '3 d 4 h'],
  ] as const;
  for (const [ms, words] of cases) assert.equal(duration(ms), words);
});

test('bytes', () => {
  const cases = [
    [0, '0 B'],
    [-1, '0 B'],
    [768 * 2 ** 20, '768 MiB'],
    [1.9 * 2 ** 30, '1.9 GiB'],
    [2 ** 60, '1048576 TiB'],
  ] as const;
  for (const [count, words] of cases) assert.equal(bytes(count), words);
});

test('shares from outside are held to 0 to 1', () => {
  assert.deepEqual([-1, 0.344, 7, Number.NaN].map(clampShare), [0, 0.344, 1, 0]);
  assert.equal(percent(0.344), '34 %');
});

test('plural', () => assert.deepEqual([plural(1, 'node'), plural(1684, 'node')], ['1 node', '1,684 nodes']));

test('limits are told in round seconds', () =>
  assert.deepEqual([5_000, 750, 3_250].map(seconds), ['5 s', '0.75 s', '3.25 s']));

test('only web addresses become links', () => {
  assert.equal(webAddress('http://10.77.0.51:20000')?.host, '10.77.0.51:20000');
  for (const text of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', '10.77.0.51', ''])
    assert.equal(webAddress(text), undefined);
});
