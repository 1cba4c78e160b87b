// The first process of each container, which holds its PID namespace: when that one is killed, the kernel kills every other
// in it. This is the way to stop a customer that writes to no control group: such a write waits for a lock of the whole
// kernel, and whoever holds that can make it wait long.
//
//   <directory>/<customer>/<instance>    "<pid> <start time>\n": the start time is field 22 of /proc/<pid>/stat, and tells the
//                                        process from a later one with its number
//
// The hook that crun runs before a container's first instruction writes the file (`oci-config.ts`), in one write: it is empty
// or whole. The agent removes it when the instance's group is empty. The leash reads it too, with builtins of a shell.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Started before the file was written and not ended since. */
export interface FirstProcess {
  pid: number;
  startTime: string;
}

export function firstProcessFile(directory: string, { customer, id }: { customer: string; id: string }): string {
  return join(directory, customer, id);
}

/** Before a start: an earlier run's process is nobody's. */
export function expectFirstProcess(directory: string, { customer, id }: { customer: string; id: string }): void {
  mkdirSync(join(directory, customer), { recursive: true, mode: 0o700 });
  rmSync(firstProcessFile(directory, { customer, id }), { force: true });
}

/** Sends `signal` where the process of the file still runs. Never waits; says whether it did. */
export function signalFirstProcess(file: string, signal: NodeJS.Signals | number): boolean {
  const first = parseFirstProcess(readText(file));
  if (first === undefined || startTimeIn(readText(`/proc/${first.pid}/stat`)) !== first.startTime) return false;
  try {
    return process.kill(first.pid, signal);
  } catch (error) {
    // Gone in this moment: just what was wanted.
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

/** SIGKILL to the first process of each of the customer's containers, also of those that another agent started. Never waits. */
export function killFirstProcesses(directory: string, customer: string): number {
  let killed = 0;
  for (const instance of filesIn(join(directory, customer)))
    if (signalFirstProcess(firstProcessFile(directory, { customer, id: instance }), 'SIGKILL')) killed++;
  return killed;
}

export function parseFirstProcess(text: string): FirstProcess | undefined {
  const [, pid, startTime] = /^([1-9]\d*) (\d+)\n$/.exec(text) ?? [];
  return pid === undefined || startTime === undefined ? undefined : { pid: Number(pid), startTime };
}

/** From the text of /proc/<pid>/stat, in which the command's name may hold blanks and parentheses. */
export function startTimeIn(stat: string): string | undefined {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    // ESRCH: a process that ends while its file is read.
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH'].includes(String(error.code))) return '';
    throw error;
  }
}

function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
