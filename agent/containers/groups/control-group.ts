// Files of control groups. What changes a group waits for one lock of the whole kernel, which a customer's processes may make
// it wait for: so every write, every new and every removed group is left to Node's pool of threads, and the agent's own
// thread, which obeys permits, goes on. Reads wait for nobody.
import { close, constants, openSync, readFileSync, write } from 'node:fs';
import { opendir, rmdir } from 'node:fs/promises';

/** Opened at once, so that one turn of the pool is all that it takes. Throws where there is no such file. */
export function writeGroup(path: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Without O_CREAT, which a control group answers with EACCES where the file is missing.
    const fd = openSync(path, constants.O_WRONLY);
    write(fd, text, (error) => {
      close(fd);
      if (error) reject(error);
      else resolve();
    });
  });
}

export async function writeGroupIfThere(path: string, text: string): Promise<void> {
  try {
    await writeGroup(path, text);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

export function readGroup(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

export function isGroupPopulated(path: string): boolean {
  return readGroup(`${path}/cgroup.events`)?.includes('populated 1') ?? false;
}

/** Kills one instance's processes; a group that is gone has none. */
export function killGroup(path: string): Promise<void> {
  return writeGroupIfThere(`${path}/cgroup.kill`, '1');
}

/** Names of the groups directly below, read piece by piece: there may be thousands. A group that is gone has none. */
export async function* groupsBelow(path: string): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(path)) if (entry.isDirectory()) yield entry.name;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Removes a control group and those under it; one that is not there is fine. Throws EBUSY while a process is in it. */
export async function removeTree(path: string): Promise<void> {
  for await (const child of groupsBelow(path)) await removeTree(`${path}/${child}`);
  try {
    await rmdir(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** ENODEV: a group that was removed while we held its file open. EINVAL: an interface that is just being removed. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['ENOENT', 'ENODEV', 'EINVAL'].includes(String(error.code));
}
