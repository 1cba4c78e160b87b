import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { leashChunks, writeLeash } from './leash.ts';

test('deadlines are hundredths of the uptime, rounded down; what is over is 0', () => {
  const clock = { nowMs: 1_000, uptimeSeconds: 50.12 };
  assert.deepEqual(
    leashChunks(
      [
        { customer: 'acme', untilMs: 3_999.9 },
        { customer: 'bolt', untilMs: 1_000 },
        { customer: 'cube', untilMs: 0 },
      ],
      clock,
    ),
    ['acme 5311\nbolt 0\ncube 0\n'],
  );
  assert.deepEqual(leashChunks([], clock), []);
});

test('many lines go in pieces that a pipe takes whole', () => {
  const vouches = Array.from({ length: 1_000 }, (_, each) => ({ customer: `c${each}`, untilMs: 2_000 }));
  const chunks = leashChunks(vouches, { nowMs: 0, uptimeSeconds: 9 });
  assert.ok(chunks.length > 1);
  for (const chunk of chunks) assert.ok(chunk.length <= 4_096 && chunk.endsWith('\n'));
  assert.equal(chunks.join('').split('\n').length, 1_001);
});

function fifo(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'muster-leash-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

const clock = { nowMs: 0, uptimeSeconds: 100 };

test('a reader gets the lines', (t) => {
  const path = fifo(t);
  const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  t.after(() => closeSync(reader));
  assert.equal(writeLeash(path, leashChunks([{ customer: 'acme', untilMs: 3_000 }], clock)), undefined);
  const bytes = Buffer.alloc(100);
  assert.equal(bytes.toString('latin1', 0, readSync(reader, bytes)), 'acme 10300\n');
});

test('nobody reads, the pipe is full, or it is not there: told in words, never waited for', (t) => {
  const path = fifo(t);
  assert.equal(writeLeash(path, leashChunks([{ customer: 'acme', untilMs: 3_000 }], clock)), undefined);
  const stuck = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  t.after(() => closeSync(stuck));
  const startMs = performance.now();
  let trouble: string | undefined;
  for (let tries = 0; trouble === undefined && tries < 10_000; tries += 1)
    trouble = writeLeash(path, leashChunks([{ customer: 'acme', untilMs: 3_000 }], clock));
  assert.match(trouble ?? '', /EAGAIN/);
  assert.match(writeLeash(`${path}.none`, ['acme 0\n']) ?? '', /ENOENT/);
  assert.ok(performance.now() - startMs < 2_000);
});
