import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../test/until.ts';
import { serialConsole } from './serial-console.ts';

test('lines come in order, prefixed, without control characters', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'muster-console-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = openSync(join(dir, 'console'), 'w');
  t.after(() => closeSync(file));
  const console = serialConsole(file);
  console.say('one\r\n\u001b[31mred');
  console.say('x'.repeat(10_000));
  console.say('three');
  const read = (): string[] => readFileSync(join(dir, 'console'), 'utf8').split('\n');
  await until('three lines', () => read().length === 4);
  console.sayNow('last');
  const [first, second, third, last] = read();
  assert.deepEqual(
    [first, second?.length, third, last],
    ['muster agent: one [31mred', 514, 'muster agent: three', 'muster agent: last'],
  );
});

test('a console that nobody reads loses lines, not time, and says so when it is read again', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'muster-console-'));
  t.after(() => rmSync(dir, { recursive: true }));
  execFileSync('mkfifo', [join(dir, 'console')]);
  const reader = openSync(join(dir, 'console'), constants.O_RDONLY | constants.O_NONBLOCK);
  // Blocking, as the pipe that PID 1 gives the agent; not O_RDWR, which would make it a reader too: a write under way
  // when the test ends must fail with EPIPE, not keep the process for ever.
  const file = openSync(join(dir, 'console'), constants.O_WRONLY);
  t.after(() => [file, reader].map((each) => closeSync(each)));
  const console = serialConsole(file);
  const startMs = performance.now();
  for (let each = 0; each < 5_000; each += 1) {
    console.say(`${each} ${'x'.repeat(400)}`);
    if (each % 100 === 0) await new Promise(setImmediate);
  }
  assert.ok(performance.now() - startMs < 2_000);
  let text = '';
  const bytes = Buffer.alloc(65_536);
  await until('told of lost lines', () => {
    try {
      text += bytes.toString('latin1', 0, readSync(reader, bytes));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
    return /\d+ lines lost here/.test(text);
  });
});
