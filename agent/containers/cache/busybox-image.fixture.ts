// Customers' images for tests: a folder with busybox in it, and whatever else the test puts there.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Makes `<root>/bin` with the host's busybox and these of its programs. */
export function plantBusybox(root: string, applets: readonly string[]): void {
  mkdirSync(join(root, 'bin'), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  for (const applet of applets) symlinkSync('busybox', join(root, 'bin', applet));
}

/** The folder as `<root>.squashfs`, all of it root's unless its owners are to be kept. */
export function squash(
  root: string,
  { owners = ['-all-root'] }: { owners?: ['-all-root'] | [] } = {},
): { file: string; bytes: Buffer; sha256: string; sizeBytes: number } {
  const file = `${root}.squashfs`;
  execFileSync('mksquashfs', [root, file, '-quiet', '-no-progress', ...owners], { stdio: 'ignore' });
  const bytes = readFileSync(file);
  return { file, bytes, sha256: createHash('sha256').update(bytes).digest('hex'), sizeBytes: bytes.length };
}
