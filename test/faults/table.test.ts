import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Measurement } from './fault.ts';
import { faultsTable, latest, tableBegins, tableEnds, withTable, worst } from './table.ts';

const measured = (about: Partial<Measurement>): Measurement => ({
  fault: 3,
  variant: '',
  name: 'link cut',
  where: 'host',
  what: 'a cable is out',
  boundMs: 5_000,
  runs: 2,
  gone: [2_000, 3_100, 2_500, 2_400],
  machine: 'two cores',
  at: '2026-11-21T09:00:00.000Z',
  ...about,
});

test('a row tells fault, median, worst and promise', () => {
  const table = faultsTable([measured({ variant: 'just before the order' })]);
  assert.equal(
    table.split('\n')[2],
    '| 3 | link cut, just before the order | a cable is out | namespaces | 2 (4 stops) | 2.45 s | 3.10 s | 5.0 s | `--only 3` |',
  );
});

test('rows are in the faults’ order, and a later measurement replaces an earlier one', () => {
  const all = [
    measured({ fault: 14, where: 'qemu', name: 'kernel hung' }),
    measured({ gone: [1], at: '2026-11-21T10:00:00.000Z' }),
    measured({}),
    measured({ fault: 1, name: 'nothing fails' }),
  ];
  assert.deepEqual(
    latest(all).map(({ fault, gone }) => [fault, gone.length]),
    [
      [1, 4],
      [3, 1],
      [14, 4],
    ],
  );
});

test('a broken promise stands out, other figures stand beside it, no cell breaks the table', () => {
  const [, , row = ''] = faultsTable([
    measured({ gone: [5_001], also: { 'board reset, ms': [6_000, 6_400] }, what: 'a | b' }),
  ]).split('\n');
  assert.match(row, /\*\*5\.00 s\*\*/);
  assert.match(row, /a \\\| b; board reset 6200 ms, at worst 6400 ms/);
});

test('a page keeps what is around the table', () => {
  const page = `before\n${tableBegins}\nold\n${tableEnds}\nafter\n`;
  const once = withTable(page, 'new');
  assert.equal(once, `before\n${tableBegins}\n\nnew\n\n${tableEnds}\nafter\n`);
  assert.equal(withTable(once, 'new'), once);
  assert.throws(() => withTable('nothing', 'new'), /want <!-- faults/);
});

test('the worst is told in whole milliseconds', () => {
  assert.equal(worst([1, 3.6, 2]), 4);
});
