// A command in a container that runs: by crun, with all that the container's own process has (user, limits, filters, none of
// its capabilities more) and in its control group. So it counts as the customer's, and a kill takes it with all the rest.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Bundle } from './bundle.ts';
import { globalOptions } from './crun.ts';

/** Of what it prints: a customer's program may print for ever. */
const keptCharacters = 200;
/** crun may not have come so far that there is a process to end: it is looked for again and again. */
const strikeAgainMs = 50;
/**
 * Then crun itself is ended, which is the last resort: its process would be left to PID 1, and the container's first process
 * cannot end before somebody has taken leave of that one.
 */
const crunEndsWithinMs = 15_000;

export interface ExecOptions {
  stateDir: string;
  command: readonly string[];
  timeoutMs: number;
  /** Ends it as the time limit does. */
  signal: AbortSignal;
}

let serial = 0;

/** Why it did not exit with 0, in words; undefined where it did. Resolves when crun has ended. */
export async function execInContainer(bundle: Bundle, options: ExecOptions): Promise<string | undefined> {
  const { stateDir, command, timeoutMs, signal } = options;
  const base = join(bundle.directory, `exec-${++serial}`);
  const processFile = `${base}.json`;
  const pidFile = `${base}.pid`;
  writeFileSync(processFile, JSON.stringify({ ...bundle.process(), args: command }), { mode: 0o600 });
  const input = bundle.openInput();
  const child = spawn(
    'crun',
    [...globalOptions(stateDir), 'exec', '--process', processFile, '--pid-file', pidFile, bundle.id],
    { stdio: [input, 'pipe', 'pipe'] },
  );
  closeSync(input);
  const said = firstWords(child);
  const { promise, resolve } = Promise.withResolvers<string>();
  child.once('error', (cause) => resolve(`cannot run crun: ${cause.message}`));
  child.once('exit', (code, by) => resolve(by === null ? `exited with ${code}` : `crun was ended by ${by}`));
  let ended: string | undefined;
  const strikes = new AbortController();
  const end = (why: string): void => {
    if (ended === undefined) void strike(child, { pidFile, over: strikes.signal });
    ended ??= why;
  };
  const timer = setTimeout(() => end(`no end within ${timeoutMs} ms`), timeoutMs);
  const abort = (): void => end('no longer asked');
  signal.addEventListener('abort', abort, { once: true });
  try {
    const outcome = await promise;
    if (ended !== undefined) return ended;
    if (outcome === 'exited with 0') return undefined;
    const text = said();
    return text === '' ? outcome : `${outcome}: ${text}`;
  } finally {
    clearTimeout(timer);
    strikes.abort();
    signal.removeEventListener('abort', abort);
    child.stdout?.destroy();
    child.stderr?.destroy();
    for (const file of [processFile, pidFile]) rmSync(file, { force: true });
  }
}

/** Until crun has ended, as it does when its process has. */
async function strike(child: ChildProcess, { pidFile, over }: { pidFile: string; over: AbortSignal }): Promise<void> {
  const untilMs = performance.now() + crunEndsWithinMs;
  while (!over.aborted && performance.now() < untilMs) {
    kill(child, pidFile);
    await pause(strikeAgainMs);
  }
  if (!over.aborted) child.kill('SIGKILL');
}

/** crun waits for its process: as long as crun is there, the number is nobody else's. */
function kill(child: ChildProcess, pidFile: string): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  try {
    const pid = Number(readFileSync(pidFile, 'latin1'));
    if (Number.isInteger(pid) && pid > 1) process.kill(pid, 'SIGKILL');
  } catch {
    // It has not come so far, or has just ended.
  }
}

/** The first line of what it prints. What comes later has no reader, and gets SIGPIPE. */
function firstWords(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stderr, child.stdout]) {
    stream?.setEncoding('utf8').on('data', (more: string) => {
      text = (text + more).slice(0, keptCharacters);
      if (text.length === keptCharacters) stream.destroy();
    });
  }
  // eslint-disable-next-line no-control-regex
  return () => (text.trim().split('\n')[0] ?? '').replaceAll(/[\u0000-\u001f\u007f]/g, '');
}
