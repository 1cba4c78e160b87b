import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { findCommand, leadingWords, parseCall, unknownCommand, UsageError } from '../command.ts';
import { allCommands, commandFiles, commandParts } from '../commands.ts';
import { commandHelp, groupHelp, overview } from './help.ts';
import { runCommandLine } from '../run.ts';

const commands = await allCommands();
const parts = await commandParts();

test('the help texts are as in help.golden.txt (UPDATE_GOLDEN=1 writes it anew)', async () => {
  const golden = new URL('help.golden.txt', import.meta.url);
  const line = `${'-'.repeat(80)}\n`;
  const each = commands.map((command) => commandHelp(command, { commands }));
  const text = [overview(parts), groupHelp('image', { commands }), ...each].join(line);
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(golden, text);
  assert.equal(text, await readFile(golden, 'utf8'));
});

test('each file of commands is found by the first words of all that it has, and no others', async () => {
  for (const { words, load } of commandFiles)
    assert.deepEqual(
      new Set((await load()).flatMap(({ words: [first], also: [other] = [] }) => [first, other ?? first])),
      new Set(words),
    );
});

async function said(line: string): Promise<{ code: number; out: string; err: string }> {
  const ran = { code: -1, out: '', err: '' };
  ran.code = await runCommandLine(line === '' ? [] : line.split(' '), {
    output: { out: (text) => (ran.out += text), err: (text) => (ran.err += text), tty: false },
    signal: new AbortController().signal,
    variables: { url: 'http://127.0.0.1:9' },
    readToken: () => undefined,
    stateDirectories: [],
    now: () => 0,
    monotonic: () => 0,
    sleep: () => Promise.resolve(),
  });
  return ran;
}

test('help of everything, of a group and of a command, however it is asked for', async () => {
  const table: [line: string, begins: RegExp][] = [
    ['help', /^muster: watch and steer a rack\n/],
    ['-h', /^muster: watch/],
    ['--help', /^muster: watch/],
    ['help help', /^muster: watch/],
    ['image --help', /^muster image: one of\n\n {2}image import FILE\|DIRECTORY\|URL /],
    ['help customer', /^muster customer: one of\n/],
    ['image -h', /^muster image: one of\n/],
    ['image import -h', /^muster image import FILE\|DIRECTORY\|URL\n/],
    ['node -h', /^muster node NAME\|MAC\n[^]*See also:\n {2}node rename /],
    ['kill show --help', /^muster kill show NUMBER\n/],
    ['help kill report', /^muster kill report NUMBER /],
    ['kill acme -h', /^muster kill CUSTOMER\|--everything /],
    ['version -h', /^muster version\n/],
  ];
  for (const [line, begins] of table) {
    const { code, out, err } = await said(line);
    assert.deepEqual([code, err], [0, ''], line);
    assert.match(out, begins, line);
  }
  assert.equal((await said('help nods')).code, 2);
  const nothing = await said('');
  assert.deepEqual([nothing.code, nothing.out, nothing.err], [2, '', overview(parts)]);
});

test('on a narrow terminal what stands right is wrapped', () => {
  const text = overview(parts, { columns: 80 });
  assert.match(text, /\n {2}kill show NUMBER +show what each node said to a\n {47}kill order,/);
  assert.ok(text.split('\n').every((line) => line.length <= 80));
});

test('version, by a word or an option', async () => {
  for (const line of ['version', '--version']) assert.match((await said(line)).out, /^muster [0-9]+\./, line);
  assert.match((await said('version --json')).out, /"version": "/);
});

function parsed(line: string) {
  const argv = line.split(' ').filter((word) => word !== '');
  const words = leadingWords(argv);
  const command = findCommand(commands, words);
  if (command === undefined) throw unknownCommand(commands, words);
  return { words: command.words.join(' '), call: parseCall(command, argv) };
}

test('findCommand() takes the longest words that fit', () => {
  const table: [string, string][] = [
    ['node n1', 'node'],
    ['node rename n1 n2', 'node rename'],
    ['--url http://x node rename n1 n2', 'node rename'],
    ['operator rm anna', 'operator remove'],
    ['customer rm acme', 'customer remove'],
    ['remove acme/web', 'rm'],
    ['kill show', 'kill'],
    ['kill show 7', 'kill show'],
    ['kill acme --reason why', 'kill'],
  ];
  for (const [line, words] of table) assert.equal(parsed(line).words, words, line);
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
    ['customer list', /\(did you mean customers\?\)/],
    ['deploy acme/web --imgae web', /no option --imgae, did you mean --image\?/],
    ['deploy acme/web --image', /--image/],
    ['node', /want muster node NAME\|MAC/],
    ['rm a/b c/d', /cannot use "c\/d"/],
    ['ps -- x', /want nothing after --/],
    ['nodes -x', /there is no option -x/],
    ['deploy acme/web --replicas', /--replicas wants a value/],
    ['kill acme --reason --json', /--reason wants a value; one that begins with - is written --reason=-…/],
    ['nodes --json=yes', /--json takes no value/],
    ['status --state x', /there is no option --state, it is --state-dir now/],
  ];
  for (const [line, wanted] of table) {
    assert.throws(
      () => parsed(line),
      (error: Error) => error instanceof UsageError && wanted.test(error.message) && !error.message.includes('\n'),
      line,
    );
  }
});
