// crun by its command line. `crun run` stays as the parent of the container's first process until that has ended, and is
// the only one that hears its status: an agent that adopts the container does not.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Bundle } from './bundle.ts';
import { runTool } from '../tool.ts';

const startTimeoutMs = 20_000;
const deleteTimeoutMs = 10_000;

export interface CrunOptions {
  stateDir: string;
  /** File descriptors for what the container prints; the caller closes its own. */
  streams: [stdin: number, stdout: number, stderr: number];
  /** Asked once, when it has ended: how many of its processes the kernel has killed for want of memory. */
  readonly memoryKills: () => number;
}

export class CrunRun {
  /** The reason, in words, once it has ended. */
  readonly ended: Promise<string>;
  readonly #bundle: Bundle;
  readonly #monitor: ChildProcess;

  constructor(bundle: Bundle, { stateDir, streams, memoryKills }: CrunOptions) {
    this.#bundle = bundle;
    const log = `--log=file:${bundle.crunLogFile}`;
    const run = ['run', '--bundle', bundle.directory, '--pid-file', bundle.pidFile, bundle.id];
    // A session of its own: what ends the agent's does not end the container.
    this.#monitor = spawn('crun', [...globalOptions(stateDir), log, ...run], {
      stdio: streams,
      detached: true,
    });
    this.#monitor.unref();
    this.ended = endOf(this.#monitor).then((end) => reasonOf(end, memoryKills()));
  }

  /**
   * Until the container's program has been executed. False where it has ended before anybody saw that: it was quick, or crun
   * could not execute it and said so on the container's standard error. Throws what crun said where it did not come so far.
   */
  async started(): Promise<boolean> {
    const deadline = performance.now() + startTimeoutMs;
    let ended: string | undefined;
    void this.ended.then((reason) => {
      ended = reason;
    });
    while (!this.#hasExecuted()) {
      if (ended !== undefined) {
        const complaint = this.#complaint();
        if (complaint === '' && existsSync(this.#bundle.pidFile)) return false;
        throw new StartError(complaint || ended);
      }
      if (performance.now() > deadline) {
        this.kill();
        throw new StartError(`crun took longer than ${startTimeoutMs} ms`);
      }
      await pause(2);
    }
    return true;
  }

  /** crun itself, not the container. */
  kill(): void {
    this.#monitor.kill('SIGKILL');
  }

  /** The first process is crun itself until it executes the program; crun writes the pid file shortly before. */
  #hasExecuted(): boolean {
    if (!existsSync(this.#bundle.pidFile)) return false;
    const first = programOf(readFileSync(this.#bundle.pidFile, 'utf8').trim());
    const crun = programOf(String(this.#monitor.pid));
    return first !== undefined && crun !== undefined && first !== crun;
  }

  #complaint(): string {
    const file = this.#bundle.crunLogFile;
    return existsSync(file) ? readFileSync(file, 'utf8').trim().slice(-400) : '';
  }
}

/** What crun writes to the container's standard error where the kernel refuses to execute its program. */
export const execFailure = /^exec container process\b/;

/** crun's or the kernel's words for why it does not run. */
export class StartError extends Error {
  readonly words: string;

  constructor(words: string) {
    super(`cannot start: ${words}`);
    this.words = words;
  }
}

/** Which file a process runs; undefined where it is gone. */
function programOf(pid: string): string | undefined {
  try {
    const { dev, ino } = statSync(`/proc/${pid}/exe`);
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}

/** Takes a container whose processes have ended out of crun's books; one that is not there is fine. */
export async function forgetContainer(stateDir: string, id: string): Promise<void> {
  if (!existsSync(join(booksOf(stateDir), id))) return;
  await runTool(['crun', ...globalOptions(stateDir), 'delete', '--force', id], { timeoutMs: deleteTimeoutMs });
}

function booksOf(stateDir: string): string {
  return join(stateDir, 'crun');
}

/** crun’s own, before the command. */
export function globalOptions(stateDir: string): string[] {
  return ['--root', booksOf(stateDir), '--cgroup-manager=cgroupfs'];
}

type End = { code: number } | { crun: string };

function endOf(monitor: ChildProcess): Promise<End> {
  return new Promise((resolve) => {
    monitor.once('error', (cause) => resolve({ crun: `cannot run crun: ${cause.message}` }));
    monitor.once('exit', (code, signal) => resolve(code === null ? { crun: `crun was ended by ${signal}` } : { code }));
  });
}

/** Signals that end a process which does not handle them. */
const fatal = 'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL SEGV PIPE ALRM TERM SYS XCPU'.split(' ');

/**
 * crun passes a status on, and 128 + n where signal n ended it: the same as of a program that exits with that. So a status is
 * told as it is, and a cause only where the kernel has counted it.
 */
export function reasonOf(end: End, memoryKills: number): string {
  if ('crun' in end) return end.crun;
  const { code } = end;
  if (code === 128 + constants.signals.SIGKILL && memoryKills > 0) return 'out of memory';
  const name = fatal.find((each) => constants.signals[`SIG${each}` as NodeJS.Signals] === code - 128);
  const status = `exited with ${code}${name === undefined ? '' : `, as after SIG${name}`}`;
  return `${status}${killedForMemory(memoryKills)}`;
}

/** `; 2 of its processes were killed for want of memory`; empty for none. */
export function killedForMemory(count: number): string {
  if (count === 0) return '';
  return `; ${count === 1 ? 'one of its processes was' : `${count} of its processes were`} killed for want of memory`;
}
