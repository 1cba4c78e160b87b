import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cpioArchive, type CpioEntry } from './cpio.ts';

const entries: CpioEntry[] = [
  { path: 'init', kind: 'file', mode: 0o755, data: Buffer.from('#!/bin/sh\n') },
  { path: 'bin/busybox', kind: 'file', mode: 0o755, data: Buffer.from('abc') },
  { path: 'bin/sh', kind: 'link', target: 'busybox' },
  { path: 'proc', kind: 'directory' },
];

test('cpioArchive() does not depend on the order of its entries', () => {
  assert.deepEqual(cpioArchive(entries, 1), cpioArchive(entries.toReversed(), 1));
});

test('cpioArchive() lays a record out as newc says', () => {
  const archive = cpioArchive([{ path: 'a', kind: 'file', mode: 0o644, data: Buffer.from('xyz') }], 0x1234);
  const want =
    '070701' +
    '00000001' +
    '000081a4' +
    '00000000' +
    '00000000' +
    '00000001' +
    '00001234' +
    '00000003' +
    '00000000' +
    '00000000' +
    '00000000' +
    '00000000' +
    '00000002' +
    '00000000' +
    'a\0xyz\0';
  assert.equal(archive.subarray(0, want.length).toString('latin1'), want);
  assert.match(archive.toString('latin1'), /TRAILER!!!\0+$/);
});

test('cpio unpacks what cpioArchive() packed', (context) => {
  const dir = mkdtempSync(join(tmpdir(), 'muster-cpio-'));
  context.after(() => rmSync(dir, { recursive: true }));
  try {
    execFileSync('cpio', ['-idm', '--quiet'], { cwd: dir, input: cpioArchive(entries, 1_700_000_000) });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return context.skip('cpio is not installed');
    throw error;
  }
  assert.equal(readFileSync(join(dir, 'init'), 'utf8'), '#!/bin/sh\n');
  assert.equal(statSync(join(dir, 'init')).mode & 0o777, 0o755);
  assert.equal(readlinkSync(join(dir, 'bin/sh')), 'busybox');
  assert.ok(statSync(join(dir, 'proc')).isDirectory());
});
