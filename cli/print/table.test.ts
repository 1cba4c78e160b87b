import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, printableJson, printableLines } from '../../protocol/printable.ts';
import { table, tableParts, type Column } from './table.ts';

test('table() aligns words left and figures right, without trailing spaces', () => {
  const rows = [
    { name: 'a', count: 7, note: '' },
    { name: 'längst', count: 1200, note: 'x' },
  ];
  const text = table({
    columns: [
      { heading: 'NAME', value: ({ name }) => name },
      { heading: 'COUNT', right: true, value: ({ count }) => String(count) },
      { heading: 'NOTE', value: ({ note }) => note },
    ],
    rows,
  });
  assert.equal(text, 'NAME    COUNT  NOTE\na           7\nlängst   1200  x\n');
});

test('a table fits the terminal: text is cut, then columns are left out, in their order', () => {
  const row = { name: 'node-c20001', state: 'ready', customers: 'acme bolt zeta', mac: '02:00:00:c2:00:01' };
  const columns: Column<typeof row>[] = [
    { heading: 'NAME', value: ({ name }) => name },
    { heading: 'MAC', value: ({ mac }) => mac, yields: 1 },
    { heading: 'STATE', value: ({ state }) => state, tone: () => 'good' },
    { heading: 'CUSTOMERS', value: ({ customers }) => customers, yields: 2, cut: true },
  ];
  const at = (terminal: number | undefined) => {
    const lines = tableParts({ columns, rows: [row] }, terminal)
      .map(({ text }) => text)
      .join('')
      .split('\n');
    for (const line of lines) assert.ok(terminal === undefined || line.length <= Math.max(terminal, 18), line);
    return lines[1];
  };
  assert.equal(at(undefined), 'node-c20001  02:00:00:c2:00:01  ready  acme bolt zeta');
  assert.equal(at(53), 'node-c20001  02:00:00:c2:00:01  ready  acme bolt zeta');
  assert.equal(at(50), 'node-c20001  02:00:00:c2:00:01  ready  acme bolt…');
  assert.equal(at(40), 'node-c20001  ready  acme bolt zeta');
  assert.equal(at(30), 'node-c20001  ready  acme bolt…');
  assert.equal(at(29), 'node-c20001  ready');
  assert.equal(at(20), 'node-c20001  ready');
  assert.equal(at(5), 'node-c20001  ready');
  const tones = tableParts({ columns, rows: [row] }, 80).flatMap(({ text, tone }) =>
    tone === undefined ? [] : [text, tone],
  );
  assert.deepEqual(tones, ['ready', 'good']);
});

test('printable() takes the sting out of control characters', () => {
  assert.equal(printable('a\u001b[31m\u0000b\tc\u009b'), 'a\u{fffd}[31m\u{fffd}b\tc\u{fffd}');
});

const hostile = {
  colour: '\u001b[31m',
  title: '\u001b]0;you are root\u0007',
  clipboard: '\u001b]52;c;cm0gLXJmIC8=\u0007',
  link: '\u001b]8;;http://evil/\u001b\\here',
  'one byte CSI': '\u009b2J',
  'over the line': 'killed\rrunning',
  'another line': 'x\u2028y\u2029z\u0085',
  'turned around': '\u202egpj.exe\u2066\u200f\u061c',
  half: '\ud800 and \udc00',
  nothing: 'a\u0000b\u007f',
};
for (const [name, text] of Object.entries(hostile))
  test(`nothing that steers a terminal gets through: ${name}`, () => {
    const clean = /^[^\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]*$/u;
    assert.match(printable(text), clean);
    assert.match(printableLines(text), clean);
    const json = printableJson(JSON.stringify({ text }));
    assert.match(json, clean);
    assert.deepEqual(JSON.parse(json), { text });
    const [, line = ''] = table({ columns: [{ heading: 'X', value: (row: string) => row }], rows: [text] }).split('\n');
    assert.match(line, clean);
  });
test('words of all the world are left as they are', () => {
  for (const text of ['naïve', 'łódź', 'שלום', '木', '👩‍👩‍👧 \t', 'e\u0301']) assert.equal(printable(text), text);
});
