import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration, parseSize } from '../../protocol/workload/quantities.ts';
import { durationText, sizeText } from './figures.ts';

test('parseSize() reads powers of 1024 and refuses the rest', () => {
  const table: [string, number | undefined][] = [
    ['0', 0],
    ['512', 512],
    ['64M', 67_108_864],
    ['64MiB', 67_108_864],
    ['64mb', 67_108_864],
    ['1.5G', 1_610_612_736],
    ['1k', 1024],
    ['', undefined],
    ['M', undefined],
    ['-1M', undefined],
    ['64X', undefined],
    ['64 M', undefined],
    ['1e3', undefined],
    ['99999999T', undefined],
  ];
  for (const [text, bytes] of table) assert.equal(parseSize(text), bytes, text);
});

test('sizeText() keeps to three digits or so', () => {
  const table: [number, string][] = [
    [0, '0B'],
    [999, '999B'],
    [1024, '1K'],
    [67_108_864, '64M'],
    [49_200_000, '46.9M'],
    [805_306_368, '768M'],
    [1_610_612_736, '1.5G'],
    [1_047_527_424, '999M'],
    [1_048_576_000, '1G'],
  ];
  for (const [bytes, text] of table) assert.equal(sizeText(bytes), text);
});

test('parseDuration() takes units, and seconds without one', () => {
  const table: [string, number | undefined][] = [
    ['500ms', 500],
    ['90', 90_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['soon', undefined],
    ['5 m', undefined],
  ];
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text);
});

test('durationText() is for people', () => {
  const table: [number, string][] = [
    [-5, '0 ms'],
    [143.4, '143 ms'],
    [5000, '5.0 s'],
    [90_000, '2 min'],
    [7_300_000, '2 h'],
    [500_000_000, '6 d'],
  ];
  for (const [ms, text] of table) assert.equal(durationText(ms), text);
});
