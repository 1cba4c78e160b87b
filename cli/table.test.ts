import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, table } from './table.ts';

test('table() aligns words left and figures right, without trailing spaces', () => {
  const rows = [
    { name: 'a', count: 7, note: '' },
    { name: 'längst', count: 1200, note: 'x' },
  ];
  const text = table(
    [
      { heading: 'NAME', value: ({ name }) => name },
      { heading: 'COUNT', right: true, value: ({ count }) => String(count) },
      { heading: 'NOTE', value: ({ note }) => note },
    ],
    rows,
  );
  assert.equal(text, 'NAME    COUNT  NOTE\na           7\nlängst   1200  x\n');
});

test('printable() takes the sting out of control characters', () => {
  assert.equal(printable('a\u001b[31m\u0000b\tc\u009b'), 'a\u{fffd}[31m\u{fffd}b\tc\u{fffd}');
});
