import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LineSplitter, LogQueue, LogTail, lineLimitCharacters } from './log-queue.ts';

const bytes = (text: string) => Buffer.from(text);

test('lines are put together from pieces, cleaned of control characters and cut at the limit', () => {
  const splitter = new LineSplitter();
  assert.deepEqual(splitter.push(bytes('on')), []);
  assert.deepEqual(splitter.push(bytes('e\r\n\u001b[31mtwo\tx\n\nthr')), ['one', '[31mtwo\tx', '']);
  assert.deepEqual(splitter.push(Buffer.from([0xc3])), []);
  assert.deepEqual(splitter.push(Buffer.from([0xa9, 0x0a])), ['thré']);
  const long = splitter.push(bytes('x'.repeat(2 * lineLimitCharacters + 5)));
  assert.deepEqual(
    long.map((line) => line.length),
    [lineLimitCharacters, lineLimitCharacters],
  );
  assert.deepEqual(splitter.flush(), ['xxxxx']);
  assert.deepEqual(splitter.flush(), []);
});

test('an instance that floods loses its own lines only, and is told how many', () => {
  const queue = new LogQueue();
  for (let n = 0; n < 600; n++) queue.push({ at: n, instance: 'loud', stream: 'stdout', text: String(n) });
  queue.push({ at: 1, instance: 'quiet', stream: 'stdout', text: 'heard' });
  queue.lose('loud', { bytes: 7 });
  const taken = queue.take(10_000, 5);
  assert.equal(taken.filter(({ instance, stream }) => instance === 'loud' && stream === 'stdout').length, 500);
  assert.ok(taken.some(({ text }) => text === 'heard'));
  assert.equal(taken.at(-1)?.text, '100 lines and 7 bytes dropped: it prints faster than the node passes on');
  assert.deepEqual(queue.take(10, 6), []);
});

test('a tail reads what is new, survives a cut file, and cuts what has been read or is too much', () => {
  const directory = mkdtempSync(join(tmpdir(), 'muster-log-'));
  try {
    const file = join(directory, 'stdout');
    writeFileSync(file, 'told before\n');
    const lines: string[] = [];
    let lost = 0;
    const tail = new LogTail(file, {
      name: 'stdout',
      offset: 12,
      emit: (text) => lines.push(text),
      lost: (count) => (lost += count),
    });
    assert.equal(tail.poll(), false);
    appendFileSync(file, 'new\n');
    tail.poll();
    truncateSync(file);
    appendFileSync(file, 'after\n');
    tail.poll();
    assert.deepEqual(lines, ['new', 'after']);
    appendFileSync(file, `${'y'.repeat(99)}\n`.repeat(10_000));
    tail.poll();
    assert.equal(lost, 1_000_006 - 6 - 65_536);
    assert.equal(statSync(file).size, 0);
    appendFileSync(file, 'unfinished');
    tail.finish();
    assert.ok(lines.at(-1)?.endsWith('unfinished'));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
