// `muster up` is the controller, and no process beside it.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from '../test/until.ts';

const cli = fileURLToPath(new URL('./main.ts', import.meta.url));
const controller = fileURLToPath(new URL('../controller/main.ts', import.meta.url));

const said = (...words: string[]) => execFileSync(process.execPath, words, { encoding: 'utf8' });

test('up becomes the controller with its arguments as they are', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-up-'));
  // Reading it, the controller waits for whoever writes it.
  const config = join(directory, 'a  config');
  execFileSync('mkfifo', [config]);
  const child = spawn(process.execPath, [cli, 'up', '--config', config], { stdio: 'ignore' });
  const exit = once(child, 'exit');
  try {
    const program = async () => (await readFile(`/proc/${child.pid}/cmdline`, 'utf8')).split('\0');
    await until('it is the controller', async () => (await program()).includes(controller));
    assert.deepEqual((await program()).slice(-5, -1), [controller, 'up', '--config', config]);
  } finally {
    child.kill('SIGKILL');
    await exit;
    await rm(directory, { recursive: true });
  }
});

test('up --help is what the controller says, however it is asked for', () => {
  const help = said(controller, 'up', '--help');
  assert.match(help, /^muster up: serve a rack\n/);
  for (const words of [
    ['up', '--help'],
    ['up', '-h'],
    ['help', 'up'],
  ])
    assert.equal(said(cli, ...words), help);
});
