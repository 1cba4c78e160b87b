// `npm start` as its user meets it: started, refused, interrupted, killed.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { descendants, gone } from './process-table.ts';

const program = fileURLToPath(new URL('main.ts', import.meta.url));

test('npm start: what it cannot do is one sentence', async () => {
  await using state = await scratch();
  for (const [flags, sentence] of [
    [['--nodes', 'many'], /cannot start many boards: want --nodes with 1 to 200/],
    [['--port', '99999'], /cannot listen on port 99999: want --port with 0 to 65535/],
    [['--nods', '3'], /Unknown option '--nods'/],
    [['--state', 'elsewhere'], /there is no option --state, it is --state-dir now/],
  ] as const) {
    const { code, said } = await new Started(['--state-dir', state.path, ...flags]).toEnd();
    assert.equal(code, 1);
    assert.match(said, sentence);
    assert.equal(said.trim().split('\n').length, 1, said);
  }
});

test('npm start: a second one on the same state and a port in use are refused; Ctrl-C ends everything', async () => {
  await using state = await scratch();
  await using first = new Started(['--nodes', '1', '--port', '0', '--state-dir', state.path]);
  const port = /127\.0\.0\.1:(\d+)/.exec(await first.line(/dashboard/))?.[1] ?? '';
  await first.line(/boards are on/);
  const second = await new Started(['--nodes', '1', '--port', '0', '--state-dir', state.path]).toEnd();
  assert.match(
    second.said,
    new RegExp(
      `another npm start \\(process ${first.process.pid}\\) uses .*: end it with .* or "kill ${first.process.pid}", ` +
        `or look at its dashboard at http://127\\.0\\.0\\.1:${port}\n`,
    ),
  );
  await using other = await scratch();
  const third = await new Started(['--nodes', '1', '--port', port, '--state-dir', other.path]).toEnd();
  assert.match(third.said, new RegExp(`port ${port} of 127.0.0.1 is in use`));
  assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);

  const all = await descendants(first.process.pid ?? 0);
  assert.ok(all.length >= 4, 'holder, tcpdump, controller and board');
  first.process.kill('SIGINT');
  first.process.kill('SIGINT'); // npm and the terminal each send one
  assert.deepEqual(await first.exited, [0, null]);
  for (const pid of all) await gone(pid);
});

test('npm start: kill -9 leaves nothing, and the next start has the state of the last', async () => {
  await using state = await scratch();
  const flags = ['--nodes', '1', '--port', '0', '--state-dir', state.path];
  await using killed = new Started(flags);
  const token = await killed.line(/^ {2}token/);
  await killed.line(/boards are on/);
  const all = await descendants(killed.process.pid ?? 0);
  killed.process.kill('SIGKILL');
  await killed.exited;
  for (const pid of all) await gone(pid);

  await using next = new Started(flags);
  assert.equal(await next.line(/^ {2}token/), token);
  next.process.kill('SIGTERM');
  assert.deepEqual(await next.exited, [0, null]);
});

test('npm start: a controller that is killed is started again at once, and the boards stay on', async () => {
  await using state = await scratch();
  await using started = new Started(['--nodes', '1', '--port', '0', '--state-dir', state.path]);
  const port = /127\.0\.0\.1:(\d+)/.exec(await started.line(/dashboard/))?.[1] ?? '';
  await started.line(/boards are on/);
  const before = await descendants(started.process.pid ?? 0);
  const controller = await theController(before);
  // Its boot process goes with it.
  const gone = [controller, ...(await descendants(controller))];
  process.kill(controller, 'SIGKILL');
  assert.match(await started.line(/was started again/), /the controller ended \(SIGKILL\)/);
  assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
  const after = await descendants(started.process.pid ?? 0);
  assert.notEqual(await theController(after), controller);
  const others = before.filter((pid) => !gone.includes(pid));
  assert.deepEqual(
    others.filter((pid) => !after.includes(pid)),
    [],
  );
  started.process.kill('SIGINT');
  assert.deepEqual(await started.exited, [0, null]);
});

async function theController(pids: readonly number[]): Promise<number> {
  for (const pid of pids)
    if ((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).startsWith('muster-controller')) return pid;
  throw new Error('npm start runs no controller');
}

class Started implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown[]>;
  said = '';

  constructor(flags: readonly string[]) {
    this.process = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = once(this.process, 'close');
    for (const pipe of [this.process.stdout, this.process.stderr]) {
      pipe?.on('data', (chunk: Buffer) => (this.said += chunk.toString()));
    }
  }

  /** The first line that matches. */
  async line(pattern: RegExp): Promise<string> {
    const limit = AbortSignal.timeout(100_000);
    for (;;) {
      const found = this.said.split('\n').find((text) => pattern.test(text));
      if (found !== undefined) return found;
      if (this.process.stdout === null || this.process.exitCode !== null) throw new Error(`it ended: ${this.said}`);
      await once(this.process.stdout, 'data', { signal: limit });
    }
  }

  async toEnd(): Promise<{ code: number | null; said: string }> {
    await this.exited;
    return { code: this.process.exitCode, said: this.said };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill('SIGKILL');
    await this.exited;
  }
}

async function scratch(): Promise<AsyncDisposable & { path: string }> {
  const parent = await mkdtemp(join(tmpdir(), 'muster-start-'));
  // The artefacts of a run are named after its state's directory: the same for each run of these tests.
  return { path: join(parent, 'test'), [Symbol.asyncDispose]: () => rm(parent, { recursive: true }) };
}
