import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { whyNotExecuted } from './executable.ts';

/** An ELF file's header, and one program header for its loader. */
function elf(machine: number, loader = ''): Buffer {
  const bytes = Buffer.alloc(256);
  bytes.write('\u007fELF\u0002\u0001\u0001', 'latin1');
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(loader === '' ? 0 : 1, 56);
  bytes.writeUInt32LE(3, 64);
  bytes.writeBigUInt64LE(128n, 72);
  bytes.writeBigUInt64LE(BigInt(loader.length + 1), 96);
  bytes.write(`${loader}\0`, 128, 'latin1');
  return bytes;
}

function imageRoot(context: TestContext, files: Record<string, string | Buffer>): string {
  const root = mkdtempSync(join(tmpdir(), 'muster-executable-'));
  context.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'bin'));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content, { mode: 0o755 });
  return root;
}

test('whyNotExecuted() tells each cause by name', (context) => {
  const root = imageRoot(context, {
    'bin/sh': elf(183),
    'bin/tool': elf(183, '/bin/loader'),
    'bin/dynamic': elf(183, '/lib/ld-musl-aarch64.so.1'),
    riscv: elf(243),
    old: elf(40).fill(1, 4, 5),
    text: 'echo hi\n',
    empty: '',
    cut: elf(183).subarray(0, 40),
    script: '#!/bin/sh\n',
    spaced: '#! /bin/sh -e\n',
    crlf: '#!/bin/sh\r\necho\r\n',
    bash: '#!/bin/bash\n',
    foreign: '#!/riscv\n',
    plain: '#!/bin/sh\n',
    hollow: '#!\n',
  });
  writeFileSync(join(root, 'bin/loader'), elf(183), { mode: 0o755 });
  chmodSync(join(root, 'plain'), 0o644);
  symlinkSync('/bin/sh', join(root, 'bin/ash'));
  mkdirSync(join(root, 'folder'));
  const table: [string, RegExp | undefined][] = [
    ['/bin/sh', undefined],
    ['sh', undefined],
    ['ash', undefined],
    ['./script', undefined],
    ['/spaced', undefined],
    ['tool', undefined],
    ['/bin/dynamic', /needs "\/lib\/ld-musl-aarch64\.so\.1", which is no file of the image/],
    ['/riscv', /exec format error: \/riscv is a program for riscv64, this board is arm64/],
    ['/old', /a program for arm, this board is arm64/],
    ['/text', /exec format error: \/text is no program for Linux, and no script/],
    ['/empty', /exec format error/],
    ['/cut', /exec format error/],
    ['/hollow', /exec format error/],
    ['/crlf', /first line of \/crlf ends with CR LF, so the interpreter would be "\/bin\/sh\\r": save it with LF/],
    ['/bash', /\/bash needs "\/bin\/bash", which is no file of the image/],
    ['/foreign', /\/riscv is a program for riscv64/],
    ['/plain', /\/plain is not executable: its mode is 644, want 755/],
    ['/folder', /"\/folder" is no file of the image/],
    ['/nothing', /"\/nothing" is no file of the image/],
    ['nothing', /"nothing" is not in the image's PATH \(\/bin\)/],
  ];
  for (const [program, why] of table) {
    const said = whyNotExecuted(root, { program, env: ['PATH=/bin'], workingDir: '/', machine: 'arm64' });
    if (why === undefined) assert.equal(said, undefined, program);
    else assert.match(said ?? '', why, program);
  }
});
