import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { commandHelp, findCommand, overview, parseCall, UsageError } from './command.ts';
import { commands } from './commands.ts';

test('the help texts are as in help.golden.txt (UPDATE_GOLDEN=1 writes it anew)', async () => {
  const golden = new URL('help.golden.txt', import.meta.url);
  const line = `${'-'.repeat(80)}\n`;
  const text = [overview(commands), ...commands.map(commandHelp)].join(line);
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(golden, text);
  assert.equal(text, await readFile(golden, 'utf8'));
});

function parsed(line: string) {
  const argv = line.split(' ').filter((word) => word !== '');
  const command = findCommand(commands, argv);
  assert.ok(command);
  return { words: command.words.join(' '), call: parseCall(command, argv) };
}

test('findCommand() takes the longest words that fit', () => {
  const table: [string, string][] = [
    ['node n1', 'node'],
    ['node rename n1 n2', 'node rename'],
    ['--url http://x node rename n1 n2', 'node rename'],
    ['kill show', 'kill'],
    ['kill show 7', 'kill show'],
    ['kill acme --reason why', 'kill'],
  ];
  for (const [line, words] of table) assert.equal(parsed(line).words, words, line);
  assert.equal(findCommand(commands, ['--json']), undefined);
});

test('parseCall() reads options before and after words, and what follows --', () => {
  const { call } = parsed('deploy acme/web --env A=1 --image web --env B=2 --no-wait --json -- run --image x');
  assert.deepEqual(call.positionals, ['acme/web']);
  assert.deepEqual(call.rest, ['run', '--image', 'x']);
  assert.deepEqual(call.list('env'), ['A=1', 'B=2']);
  assert.equal(call.text('image'), 'web');
  assert.equal(call.flag('wait', true), false);
  assert.equal(call.json, true);
});

test('wrong usage gets a sentence with what was meant', () => {
  const table: [string, RegExp][] = [
    ['nods', /no command "nods", did you mean nodes\?/],
    ['customer ad acme', /want one of: customer add, customer remove \(did you mean customer add\?\)/],
    ['deploy acme/web --imgae web', /no option --imgae, did you mean --image\?/],
    ['deploy acme/web --image', /--image/],
    ['node', /want muster node NAME\|MAC/],
    ['rm a/b c/d', /cannot use "c\/d"/],
    ['ps -- x', /want nothing after --/],
    ['nodes -x', /-x/],
  ];
  for (const [line, wanted] of table) {
    assert.throws(
      () => parsed(line),
      (error: Error) => error instanceof UsageError && wanted.test(error.message) && !error.message.includes('\n'),
      line,
    );
  }
});
