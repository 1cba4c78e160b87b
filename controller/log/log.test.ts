import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { logLineOf } from './event-log.ts';
import { isJournal, openLog, textOf } from './log.ts';

const at = Date.UTC(2026, 10, 21, 10, 12, 3, 45);
const silent = () => Promise.resolve();

test('a line is JSON in the file and text on stderr', async () => {
  await using directory = await scratch();
  const file = join(directory.path, 'log/controller.log');
  let said = '';
  const log = openLog({
    file,
    style: 'plain',
    now: () => at,
    errorOutput: async (text) => void (said += text),
  });
  log.log({ level: 'warn', subject: 'kill', about: '3', message: 'stop acme\n\u001b[2J' });
  log.log({ level: 'info', subject: 'boot', message: 'kernel' });
  await log[Symbol.asyncDispose]();
  assert.equal(
    await readFile(file, 'utf8'),
    '{"level":"warn","time":"2026-11-21T10:12:03.045Z","subject":"kill","about":"3","message":"stop acme\\n\\u001b[2J"}\n' +
      '{"level":"info","time":"2026-11-21T10:12:03.045Z","subject":"boot","message":"kernel"}\n',
  );
  assert.equal(
    said,
    '2026-11-21T10:12:03.045Z warn kill 3: stop acme\ufffd\ufffd[2J\n2026-11-21T10:12:03.045Z info boot: kernel\n',
  );
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test('a start goes on where the last one ended; last words are on disk at once', async () => {
  await using directory = await scratch();
  const file = join(directory.path, 'controller.log');
  for (const message of ['first', 'second']) {
    const log = openLog({ file, style: 'plain', now: () => at, errorOutput: silent });
    log.lastWords({ level: 'error', subject: 'controller', message });
    await log[Symbol.asyncDispose]();
  }
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).message),
    ['first', 'second'],
  );
});

test('the file rotates by size, and the oldest goes', async () => {
  await using directory = await scratch();
  const file = join(directory.path, 'controller.log');
  const log = openLog({ file, style: 'plain', now: () => at, errorOutput: silent, fileBytesLimit: 10_000 });
  const message = 'x'.repeat(1_000);
  for (let batch = 0; batch < 20; batch++) {
    for (let line = 0; line < 5; line++) log.log({ level: 'info', subject: 'boot', message });
    await log[Symbol.asyncDispose]();
  }
  assert.equal(log.lost(), 0);
  assert.deepEqual((await readdir(directory.path)).toSorted(), [
    'controller.log',
    ...[1, 2, 3, 4].map((number) => `controller.log.${number}`),
  ]);
  assert.ok((await stat(`${file}.4`)).size < 20_000);
});

test('a full disk and a reader that does not read lose lines, and nobody waits', async () => {
  const log = openLog({
    file: '/dev/full',
    style: 'plain',
    now: () => at,
    errorOutput: () => new Promise(() => undefined),
  });
  for (let line = 0; line < 1_000; line++) log.log({ level: 'info', subject: 'boot', message: 'x'.repeat(4_000) });
  await log[Symbol.asyncDispose]();
  // All of the file's, and what goes beyond a megabyte of the reader's.
  assert.ok(log.lost() > 1_500 && log.lost() < 2_000, `${log.lost()}`);
});

test('while the disk is full nothing goes to the file', async () => {
  await using directory = await scratch();
  const file = join(directory.path, 'controller.log');
  const log = openLog({ file, style: 'plain', now: () => at, errorOutput: silent });
  let isFull = true;
  log.keepRoom(() => isFull);
  for (const message of ['waited', 'came later']) {
    log.log({ level: 'info', subject: 'boot', message });
    await log[Symbol.asyncDispose]();
    if (isFull) await assert.rejects(readFile(file), /ENOENT/);
    isFull = false;
  }
  assert.equal(log.lost(), 0);
  assert.match(await readFile(file, 'utf8'), /^[^\n]*waited[^\n]*\n[^\n]*came later[^\n]*\n$/);
});

test('text for the journal has its priority, text for a terminal its colour', () => {
  const line = { at, level: 'error', subject: 'controller', message: 'no' } as const;
  assert.equal(textOf(line, 'journal'), '<3>controller: no\n');
  assert.equal(textOf(line, 'terminal'), '10:12:03 \u001b[31merror\u001b[0m controller: no\n');
  assert.equal(textOf({ ...line, level: 'info' }, 'terminal'), '10:12:03 info  controller: no\n');
  assert.ok(isJournal('8:12345', { dev: 8, ino: 12345 }));
  assert.ok(!isJournal('8:12345', { dev: 8, ino: 1 }));
  assert.ok(!isJournal(undefined, { dev: 8, ino: 1 }));
});

test('what an operator has to look at is a warning', () => {
  for (const [kind, message, level] of [
    ['kill', 'stop acme on 4 nodes, given by anna: fraud', 'warn'],
    ['kill', 'lifted by anna', 'warn'],
    ['kill', 'node-c20001: receipt after 80 ms', 'info'],
    ['node', 'ready → silent: no heartbeat for 3 s', 'warn'],
    ['node', 'seen → loading: kernel', 'info'],
    ['boot', 'fenced', 'warn'],
    ['controller', 'the disk is full', 'warn'],
    ['workload', 'created', 'info'],
  ] as const)
    assert.deepEqual(logLineOf({ kind, subject: 'x', message }), { level, subject: kind, about: 'x', message });
});

async function scratch(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'muster-log-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
