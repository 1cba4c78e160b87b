// Programs that end with us, however we end: the kernel kills each of them when the process that started it dies, also by
// kill -9. A program keeps that through every exec (nsenter, perl, node), as long as none of them is set-uid or forks.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';

/** Starts a program tied to this process. The promise rejects when it cannot be started at all. */
export async function startTied(argv: readonly string[], options: { stdio: StdioOptions }): Promise<ChildProcess> {
  // A session of its own: a Ctrl-C in the terminal is for us alone, who then end the programs in their order.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], { stdio: options.stdio, detached: true });
  await once(child, 'spawn');
  return child;
}

export const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

/** After a signal that leaves a program time to end in its own way. */
const graceMs = 10_000;

/** Signals the program and waits until it is gone; one that goes on for long is killed. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(timer);
}

export type Output = { code: number | null; stdout: string; stderr: string };

/** Runs a program to its end, bounded in time and in what is kept of its output (1 MB). */
export async function runTied(
  argv: readonly string[],
  { input = '', timeoutMs = 60_000 }: { input?: string; timeoutMs?: number } = {},
): Promise<Output> {
  const child = await startTied(argv, { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  const output: Output = { code: null, stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk: Buffer) => (output.stdout = (output.stdout + chunk.toString()).slice(-1_000_000)));
  child.stderr?.on('data', (chunk: Buffer) => (output.stderr = (output.stderr + chunk.toString()).slice(-1_000_000)));
  child.stdin?.on('error', () => undefined); // a program that reads no input closes it: its exit code tells
  child.stdin?.end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  await closed;
  clearTimeout(timer);
  return { ...output, code: child.exitCode };
}
