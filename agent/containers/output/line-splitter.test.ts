import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanLine, lineLimitCharacters, LineSplitter } from './line-splitter.ts';

const bytes = (text: string) => Buffer.from(text);

test('lines are put together from pieces, and a long one is cut at the limit', () => {
  const splitter = new LineSplitter();
  assert.deepEqual(splitter.push(bytes('on')), []);
  assert.deepEqual(splitter.push(bytes('e\r\ntwo\tx\n\nthr')), ['one\r', 'two\tx', '']);
  assert.deepEqual(splitter.push(Buffer.from([0xc3])), []);
  assert.deepEqual(splitter.push(Buffer.from([0xa9, 0x0a])), ['thré']);
  const long = splitter.push(bytes('x'.repeat(2 * lineLimitCharacters + 5)));
  assert.deepEqual(
    long.map((line) => line.length),
    [lineLimitCharacters, lineLimitCharacters],
  );
  assert.deepEqual(splitter.flush(), ['xxxxx']);
  assert.deepEqual(splitter.flush(), []);
  assert.deepEqual(splitter.push(bytes(`${'y'.repeat(lineLimitCharacters - 1)}z\u001b[3`)), []);
  assert.deepEqual(
    splitter
      .push(bytes('1m!\n'))
      .flatMap(cleanLine)
      .map((line) => line.slice(-2)),
    ['yz', '!'],
  );
});

test('where bytes were thrown away a new line begins after the next end', () => {
  const splitter = new LineSplitter();
  splitter.push(Buffer.from([0x61, 0xc3]));
  splitter.tear();
  assert.deepEqual(splitter.push(bytes('rest')), []);
  assert.deepEqual(splitter.push(bytes('of it\nwhole\nbegun')), ['whole']);
  assert.deepEqual(splitter.flush(), ['begun']);
});

test('cleanLine() takes colours and control characters away whole', () => {
  const table: [string, string][] = [
    ['\u001b[32mINFO\u001b[0m ready', 'INFO ready'],
    ['\u001b[1;38;5;208mx\u001b[K\u001b[2J', 'x'],
    ['\u001b]0;title\u0007text', 'text'],
    ['\u001b]8;;http://a/\u001b\\link\u001b]8;;\u001b\\', 'link'],
    ['\u001bPq#0\u001b\\sixel', 'sixel'],
    ['\u009b31mred', 'red'],
    ['\u001b(Bx\u001b7', 'x'],
    ['50 %\r100 %\u0007\tdone\u007f', '50 %100 %\tdone'],
    ['\u001b]unfinished', 'unfinished'],
    ['\u001b', ''],
    ['[32m is text', '[32m is text'],
  ];
  for (const [raw, clean] of table) assert.deepEqual(cleanLine(raw), [clean], JSON.stringify(raw));
  assert.deepEqual(
    cleanLine('x'.repeat(lineLimitCharacters + 1)).map((piece) => piece.length),
    [lineLimitCharacters, 1],
  );
  const hostile = '\u001b]'.repeat(100_000);
  const at = performance.now();
  cleanLine(hostile);
  assert.ok(performance.now() - at < 2_000);
});
