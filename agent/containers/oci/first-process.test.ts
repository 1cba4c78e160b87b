import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  expectFirstProcess,
  firstProcessFile,
  killFirstProcesses,
  parseFirstProcess,
  startTimeIn,
} from './first-process.ts';

test('startTimeIn() is not led astray by what a process calls itself', () => {
  const fields = '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21';
  assert.equal(startTimeIn(`17 (sh) S ${fields}`), '4711');
  assert.equal(startTimeIn(`17 (a) R 1 (b) S ${fields}`), '4711');
  assert.equal(startTimeIn(''), undefined);
});

test('parseFirstProcess() takes a whole line or nothing', () => {
  assert.deepEqual(parseFirstProcess('17 4711\n'), { pid: 17, startTime: '4711' });
  for (const text of ['', '17', '17 4711', '0 4711\n', '-1 4711\n', '17 4711 \n'])
    assert.equal(parseFirstProcess(text), undefined, JSON.stringify(text));
});

test('killFirstProcesses() kills what the files name, and never a later process with its number', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'muster-first-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  context.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const startTime = startTimeIn(readFileSync(`/proc/${child.pid}/stat`, 'latin1'));
  const name = { customer: 'acme', id: 'web-00000001' };
  assert.equal(killFirstProcesses(directory, 'acme'), 0, 'a customer without containers');
  expectFirstProcess(directory, name);
  writeFileSync(firstProcessFile(directory, name), `${child.pid} ${Number(startTime) - 1}\n`);
  assert.equal(killFirstProcesses(directory, 'acme'), 0, 'another process had that number once');
  writeFileSync(firstProcessFile(directory, name), `${child.pid} ${startTime}\n`);
  assert.equal(killFirstProcesses(directory, 'globex'), 0);
  assert.equal(child.exitCode, null);
  assert.equal(killFirstProcesses(directory, 'acme'), 1);
  const [, signal] = await once(child, 'exit');
  assert.equal(signal, 'SIGKILL');
  assert.equal(killFirstProcesses(directory, 'acme'), 0, 'gone');
});
