// The scripts in the shells that this machine has; bash is part of every Debian.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { allCommands } from '../commands.ts';
import { completionScript, shells } from './completion.ts';
import { manualPage } from './manual.ts';

const commands = await allCommands();
const directory = mkdtempSync(join(tmpdir(), 'muster-completion-'));
after(() => rmSync(directory, { recursive: true }));
const files = Object.fromEntries(shells.map((shell) => [shell, join(directory, `muster.${shell}`)]));
for (const shell of shells) writeFileSync(files[shell] ?? '', completionScript(shell, commands));
writeFileSync(join(directory, 'an image.tar'), '');

function has(program: string): boolean {
  return spawnSync(program, ['--version']).error === undefined;
}

function ran(program: string, args: string[]): string[] {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', cwd: directory });
  assert.deepEqual([status, stderr], [0, ''], `${program} ${args.join(' ')}`);
  return stdout.split('\n').filter((line) => line !== '');
}

test('bash completes commands, their words, options, choices and files', () => {
  const complete = (...words: string[]) =>
    ran('bash', [
      '--norc',
      '-c',
      `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _muster; printf '%s\\n' "\${COMPREPLY[@]}"`,
      'bash',
      files['bash'] ?? '',
      'muster',
      ...words,
    ]);
  assert.deepEqual(complete('no'), ['nodes', 'node']);
  assert.ok(['up', 'help', 'deploy', 'completion'].every((word) => complete('').includes(word)));
  assert.deepEqual(complete('node', 're'), ['rename', 'remove', 'reboot']);
  assert.deepEqual(complete('--url', 'http://x', 'kill', ''), ['show', 'report']);
  assert.deepEqual(complete('deploy', 'acme/web', '--no-').toSorted(), [
    '--no-capabilities',
    '--no-check',
    '--no-command',
    '--no-env',
    '--no-placement',
    '--no-port',
    '--no-stop-signal',
    '--no-user',
    '--no-wait',
  ]);
  assert.ok(complete('deploy', '--').includes('--url'));
  assert.deepEqual(complete('customer', 'add', 'acme', '--on-silence', ''), ['stop', 'hold']);
  assert.deepEqual(complete('node', 'power', 'left-3', 'o'), ['on', 'off']);
  assert.deepEqual(complete('nodes', '--state', 'r'), ['ready']);
  assert.deepEqual(complete('image', 'import', 'an'), ['an image.tar']);
  assert.deepEqual(complete('completion', 'z'), ['zsh']);
  assert.deepEqual(complete('deploy', '--image', ''), []);
});

test('zsh reads its script', { skip: has('zsh') ? false : 'this machine has no zsh' }, () => {
  ran('zsh', ['-f', '-n', files['zsh'] ?? '']);
  ran('zsh', ['-f', '-c', `compdef() { :; }; source ${files['zsh']}; whence -w _muster`]);
});

test('fish completes by its script', { skip: has('fish') ? false : 'this machine has no fish' }, () => {
  const complete = (line: string) =>
    ran('fish', ['--no-config', '-c', `source ${files['fish']}; complete -C "muster ${line}"`]).map(
      (found) => found.split('\t')[0],
    );
  assert.deepEqual(new Set(complete('node re')), new Set(['reboot', 'remove', 'rename']));
  assert.deepEqual(complete('nodes --state r'), ['ready']);
  assert.ok(complete('deploy acme/web --no-').includes('--no-port'));
  assert.deepEqual(complete('completion z'), ['zsh']);
});

test('the man page has every command and option, and nothing that is a macro by accident', () => {
  const page = manualPage(commands, '1.0');
  for (const { words, options = {} } of commands) {
    assert.ok(page.includes(`\n.SS muster ${words.join(' ')}`), words.join(' '));
    for (const name of Object.keys(options)) assert.ok(page.includes(`\\-\\-${name.replaceAll('-', '\\-')}`), name);
  }
  const macros = new Set(['TH', 'SH', 'SS', 'TP', 'PP', 'B', 'BR', 'I', 'RI', 'RB', 'br']);
  for (const line of page.split('\n'))
    if (/^[.']/.test(line)) assert.ok(macros.has(/^\.([A-Za-z]+)/.exec(line)?.[1] ?? ''), line);
});

test('man reads it without a complaint', { skip: has('groff') ? false : 'this machine has no groff' }, () => {
  const file = join(directory, 'muster.1');
  writeFileSync(file, manualPage(commands, '1.0'));
  const text = ran('groff', ['-man', '-Tutf8', '-ww', '-z', file]);
  assert.deepEqual(text, []);
});
