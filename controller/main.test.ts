// The command line of `muster up`, as far as it is refused before anything is opened.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('main.ts', import.meta.url));

function up(...args: string[]): Promise<{ code: unknown; stderr: string }> {
  return new Promise((resolve) => {
    const words = ['--disable-warning=ExperimentalWarning', program, 'up', ...args];
    // oxlint-disable-next-line max-params -- execFile calls it so
    execFile(process.execPath, words, (error, _stdout, stderr) => resolve({ code: error?.code, stderr }));
  });
}

test('muster up: what it cannot use is one sentence that names the help', async () => {
  for (const [args, said] of [
    [['extra-word'], 'cannot use "extra-word": want muster up'],
    [['--nope'], 'there is no option --nope'],
    [['-x'], 'there is no option -x'],
    [['--interface'], '--interface wants a value'],
    [['--two-person-rule=yes'], '--two-person-rule takes no value'],
  ] as const)
    assert.deepEqual(await up(...args), { code: 2, stderr: `muster: ${said} (see muster up --help)\n` });
});
