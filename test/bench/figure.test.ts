import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figureOf, median, quantile, renderFigures, verdict } from './figure.ts';

test('median() takes the middle, or the mean of the two in the middle', () => {
  const rows: [number[], number][] = [
    [[7], 7],
    [[3, 1, 2], 2],
    [[4, 1, 3, 2], 2.5],
    [[10, 9, 100], 10],
  ];
  for (const [samples, wanted] of rows) assert.equal(median(samples), wanted);
  assert.throws(() => median([]), /no samples/);
});

test('quantile() takes the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  const rows: [number, number][] = [
    [0, 1],
    [0.5, 50],
    [0.99, 99],
    [1, 100],
  ];
  for (const [q, wanted] of rows) assert.equal(quantile(hundred, q), wanted);
  assert.equal(quantile([5, 1], 0.99), 5);
  assert.throws(() => quantile([], 0.5), /no samples/);
});

test('figureOf() calls the smallest the worst where more is better', () => {
  const rest = { name: 'x', unit: 'ms' as const, how: 'counted' };
  assert.deepEqual(figureOf({ ...rest, samples: [3, 1, 8] }), { ...rest, median: 3, worst: 8, runs: 3 });
  assert.equal(figureOf({ ...rest, samples: [3, 1, 8], moreIsBetter: true }).worst, 1);
});

test('verdict() goes by the median, and tells of a worst run that is over', () => {
  const rows: [number | undefined, number, number, string][] = [
    [undefined, 1, 1, ''],
    [10, 9, 10, 'ok'],
    [10, 9, 11, 'worst over'],
    [10, 11, 12, 'over'],
  ];
  for (const [aim, middle, worst, wanted] of rows)
    assert.equal(verdict({ median: middle, worst, ...(aim === undefined ? {} : { aim }) }), wanted);
});

test('renderFigures() aligns the figures and says how each came about', () => {
  const shown = renderFigures([
    { name: 'boot', unit: 's', median: 34.567, worst: 61, runs: 5, aim: 60, how: 'by a stopwatch' },
    { name: 'agent', unit: 'MB', median: 5.4321, worst: 123.4, runs: 12, how: 'by the kernel' },
  ]);
  assert.equal(
    shown,
    `figure  median  worst  unit  runs   aim
boot      34.6     61  s        5  ≤ 60  worst over
agent     5.43    123  MB      12

boot: by a stopwatch
agent: by the kernel
`,
  );
});
