// crun by its command line. `crun run` stays as the parent of the container's first process until that has ended, and is
// the only one that hears its status: an agent that adopts the container does not.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Bundle } from './bundle.ts';
import { runTool } from '../tool.ts';

const startTimeoutMs = 20_000;
const deleteTimeoutMs = 10_000;

export interface CrunOptions {
  stateDir: string;
  /** File descriptors for what the container prints; the caller closes its own. */
  output: [stdout: number, stderr: number];
  /** Asked when it has ended by SIGKILL. */
  readonly wasOutOfMemory: () => boolean;
}

export class CrunRun {
  /** The reason, in words, once it has ended. */
  readonly ended: Promise<string>;
  readonly #bundle: Bundle;
  readonly #monitor: ChildProcess;

  constructor(bundle: Bundle, { stateDir, output, wasOutOfMemory }: CrunOptions) {
    this.#bundle = bundle;
    const log = `--log=file:${bundle.crunLogFile}`;
    const run = ['run', '--bundle', bundle.directory, '--pid-file', bundle.pidFile, bundle.id];
    // A session of its own: what ends the agent's does not end the container.
    this.#monitor = spawn('crun', [...globalOptions(stateDir), log, ...run], {
      stdio: ['ignore', ...output],
      detached: true,
    });
    this.#monitor.unref();
    this.ended = reasonOf(this.#monitor).then((reason) =>
      reason === 'ended by signal 9' && wasOutOfMemory() ? 'out of memory' : reason,
    );
  }

  /** Until the container's process runs (crun writes the pid file then). Throws what crun said where it never did. */
  async started(): Promise<void> {
    const deadline = performance.now() + startTimeoutMs;
    let ended: string | undefined;
    void this.ended.then((reason) => {
      ended = reason;
    });
    while (!existsSync(this.#bundle.pidFile)) {
      if (ended !== undefined) throw new Error(`cannot start: ${this.#complaint() || ended}`);
      if (performance.now() > deadline) {
        this.kill();
        throw new Error(`cannot start: crun took longer than ${startTimeoutMs} ms`);
      }
      await pause(2);
    }
  }

  /** crun itself, not the container. */
  kill(): void {
    this.#monitor.kill('SIGKILL');
  }

  #complaint(): string {
    const file = this.#bundle.crunLogFile;
    return existsSync(file) ? readFileSync(file, 'utf8').trim().slice(-400) : '';
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

function reasonOf(monitor: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    monitor.once('error', (cause) => resolve(`cannot run crun: ${cause.message}`));
    monitor.once('exit', (code, signal) => {
      if (signal !== null) resolve(`crun was ended by ${signal}`);
      else if (code !== null && code > 128) resolve(`ended by signal ${code - 128}`);
      else resolve(`exited with ${code}`);
    });
  });
}
