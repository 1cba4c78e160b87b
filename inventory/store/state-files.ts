// The files of the state directory as files: nobody else may read them (keys of sessions, the operators' token), and what is
// damaged is kept under another name.
import { chmodSync, readdirSync, statSync } from 'node:fs';
import { chmod, copyFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

const others = 0o077;

/**
 * The directory and what is directly in it: for its owner only. Gives a sentence where others could read it until now; the
 * path of what is deeper leads through here.
 */
export function keepPrivate(directory: string): string[] {
  const open: string[] = [];
  // Synchronous: at a start the threads that read files are busy with the boot files, and these calls take microseconds.
  for (const name of ['.', ...readdirSync(directory)]) {
    const path = join(directory, name);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined || (found.mode & others) === 0 || !(found.isFile() || found.isDirectory())) continue;
    chmodSync(path, found.isDirectory() ? 0o700 : 0o600);
    open.push(name === '.' ? 'the directory itself' : name);
  }
  // A file that others could read in a directory that they could not enter, or the other way round: nothing was open.
  if (open[0] !== 'the directory itself' || open.length < 2) return [];
  return [
    `${directory} was open to other users of this machine (${open.slice(0, 8).join(', ')}): now only its owner can read it. ` +
      'Who had an account here may have the keys in it: see docs/OPERATIONS.md, "Damage"',
  ];
}

const companions = ['', '-wal', '-shm', '-journal'];

/** Copies a database and what belongs to it. Gives the words that say where, for the end of a sentence. */
export async function keepAside(file: string, now: number): Promise<string> {
  const name = `${file}.damaged-${stamp(now)}`;
  try {
    for (const end of companions)
      if ((await stat(file + end).catch(() => undefined)) !== undefined) {
        await copyFile(file + end, name + end);
        await chmod(name + end, 0o600);
      }
    return ` (as it was found: ${name})`;
  } catch (error) {
    return ` (no copy of it could be kept: ${error instanceof Error ? error.message : String(error)})`;
  }
}

/** Moves a database and what belongs to it out of the way. Gives its new name. */
export async function moveAside(file: string, now: number): Promise<string> {
  const name = `${file}.damaged-${stamp(now)}`;
  for (const end of companions)
    await rename(file + end, name + end).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    });
  return name;
}

/** `2026-11-27T17-40-12-003Z` */
function stamp(now: number): string {
  return new Date(now).toISOString().replaceAll(/[:.]/g, '-');
}
