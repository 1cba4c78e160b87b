// The end of a control group, at once: for tests, which have a thread to wait with.
import { closeSync, constants, existsSync, openSync, readdirSync, rmdirSync, writeSync } from 'node:fs';

export function killGroup(path: string): void {
  if (!existsSync(path)) return;
  const fd = openSync(`${path}/cgroup.kill`, constants.O_WRONLY);
  writeSync(fd, '1');
  closeSync(fd);
}

/** Throws EBUSY while a process is in it; a group that is not there is fine. */
export function removeTree(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(`${path}/${entry.name}`);
  rmdirSync(path);
}
