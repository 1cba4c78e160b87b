import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readInImage } from './image-file.ts';

test('readInImage() follows links within the image, and opens plain files only', (context) => {
  const root = mkdtempSync(join(tmpdir(), 'muster-image-'));
  context.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'usr/etc'), { recursive: true });
  writeFileSync(join(root, 'usr/etc/passwd'), 'root:x:0:0');
  symlinkSync('usr/etc', join(root, 'etc'));
  symlinkSync('/usr/etc/passwd', join(root, 'absolute'));
  symlinkSync('../../../../usr/etc/passwd', join(root, 'above'));
  symlinkSync('/etc/hostname', join(root, 'dangling'));
  symlinkSync('loop', join(root, 'loop'));
  symlinkSync('usr/../'.repeat(500), join(root, 'winding'));
  symlinkSync('usr/etc/passwd/', join(root, 'slashed'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  const read = (path: string, limitBytes = 100) => readInImage(root, { path, limitBytes })?.toString();
  for (const path of ['etc/passwd', '/etc/passwd', 'absolute', 'above', '../etc/./passwd'])
    assert.equal(read(path), 'root:x:0:0', path);
  assert.equal(read('etc/passwd', 4), 'root');
  for (const path of ['dangling', 'loop', 'winding/etc/passwd', 'fifo', 'etc', '', 'etc/passwd/x', 'nothing/at/all'])
    assert.equal(read(path), undefined, path);
});
