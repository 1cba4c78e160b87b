// What /proc says of processes that are not our own children.
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** State and parent, or undefined when there is no such process. */
async function statusOf(pid: number): Promise<{ state: string; parent: number } | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''); // ended meanwhile
  const match = /^\d+ \(.*\) (\S) (\d+)/s.exec(stat);
  return match?.[1] === undefined ? undefined : { state: match[1], parent: Number(match[2]) };
}

/** Every process below one. */
export async function descendants(root: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    const status = /^\d+$/.test(name) ? await statusOf(Number(name)) : undefined;
    if (status !== undefined) parents.set(Number(name), status.parent);
  }
  const below = (pid: number): number[] =>
    [...parents].filter(([, parent]) => parent === pid).flatMap(([child]) => [child, ...below(child)]);
  return below(root);
}

/** Waits until the process is no more, or is only remembered for its parent; rejects after `timeoutMs`. */
export async function gone(pid: number, timeoutMs = 15_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const status = await statusOf(pid);
    if (status === undefined || status.state === 'Z' || status.state === 'X') return;
    if (performance.now() > deadline) throw new Error(`process ${pid} is still there after ${timeoutMs / 1000} s`);
    await delay(20);
  }
}
