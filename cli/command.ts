// What a command is, and the way from argv to it: options by `node:util` parseArgs, help from the same declaration.
import { parseArgs } from 'node:util';
import type { Api } from './api.ts';
import { suggestion } from './suggestion.ts';

export interface Option {
  type: 'string' | 'boolean';
  multiple?: true;
  /** What a string is called in the help. */
  value?: string;
  help: string;
}

export interface Output {
  out(text: string): void;
  err(text: string): void;
  /** Lines may be rewritten in place. */
  tty: boolean;
}

export interface Context {
  api: Api;
  output: Output;
  signal: AbortSignal;
  /** Milliseconds since 1970, to tell ages by. */
  now(): number;
  /** Milliseconds that only grow. */
  monotonic(): number;
  sleep(ms: number): Promise<void>;
}

export interface Call {
  positionals: string[];
  /** What stood after `--`. */
  rest: string[];
  json: boolean;
  text(option: string): string | undefined;
  /** `--name` or `--no-name`; `otherwise` when neither is given. */
  flag(option: string, otherwise?: boolean): boolean;
  list(option: string): string[];
}

export interface Command {
  words: string[];
  /** What follows the words. */
  usage: string;
  summary: string;
  details?: string;
  options?: Record<string, Option>;
  /** How many positionals, at least and at most. */
  takes?: [number, number];
  takesRest?: true;
  /** Says whether the words mean this command, where they may mean another. */
  applies?(after: readonly string[]): boolean;
  /** Gives the exit code; 0 when it gives none. */
  run(context: Context, call: Call): Promise<number | void>;
}

/** Something on the command line is not as wanted: exit code 2. */
export class UsageError extends Error {}

export const globalOptions = {
  url: { type: 'string', value: 'URL', help: 'the controller (default $MUSTER_URL or http://127.0.0.1:8080)' },
  token: { type: 'string', value: 'TOKEN', help: "the operators' token (default $MUSTER_TOKEN, or from --state)" },
  state: {
    type: 'string',
    value: 'DIR',
    help: "the controller's state, for its operator-token (default $MUSTER_STATE)",
  },
  json: { type: 'boolean', help: 'print JSON' },
  help: { type: 'boolean', help: 'say how it is used' },
} as const satisfies Record<string, Option>;

export interface Parsed {
  command: Command;
  call: Call;
}

/** The command that the first words name; undefined where nothing is named. Throws a UsageError for an unknown one. */
export function findCommand(commands: readonly Command[], argv: readonly string[]): Command | undefined {
  const words = leadingWords(argv);
  const [first] = words;
  if (first === undefined) return undefined;
  const matches = commands.filter(
    (command) =>
      command.words.every((word, index) => words[index] === word) &&
      (command.applies?.(words.slice(command.words.length)) ?? true),
  );
  const best = matches.toSorted((a, b) => b.words.length - a.words.length)[0];
  if (best !== undefined) return best;
  const group = commands.filter((command) => command.words[0] === first).map(({ words: own }) => own.join(' '));
  if (group.length > 0) {
    const meant = suggestion(words.slice(0, 2).join(' '), group);
    throw new UsageError(`want one of: ${group.join(', ')}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`);
  }
  const meant = suggestion(
    first,
    commands.flatMap(({ words: own }) => own[0] ?? []),
  );
  throw new UsageError(
    `there is no command ${JSON.stringify(first)}${meant === undefined ? '' : `, did you mean ${meant}?`} (see muster help)`,
  );
}

/** The words before the first `--`, without options and the values of the global ones. */
function leadingWords(argv: readonly string[]): string[] {
  const words: string[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const arg = argv[at] ?? '';
    if (arg === '--') break;
    if (/^--(url|token|state)$/.test(arg)) at += 1;
    else if (!arg.startsWith('-')) words.push(arg);
  }
  return words;
}

export function parseCall(command: Command, argv: readonly string[]): Call {
  const options: Record<string, Option> = { ...globalOptions, ...command.options };
  const end = argv.indexOf('--');
  const own = end < 0 ? [...argv] : argv.slice(0, end);
  const rest = end < 0 ? [] : argv.slice(end + 1);
  const help = `(see muster ${command.words.join(' ')} --help)`;
  if (rest.length > 0 && command.takesRest !== true) throw new UsageError(`want nothing after -- ${help}`);
  const unknown = own.find((arg) => {
    const name = /^--([^=]+)/.exec(arg)?.[1];
    return name !== undefined && options[name] === undefined && options[name.replace(/^no-/, '')]?.type !== 'boolean';
  });
  if (unknown !== undefined) {
    const meant = suggestion(
      unknown.replace(/=.*/, ''),
      Object.keys(options).map((name) => `--${name}`),
    );
    throw new UsageError(
      `there is no option ${unknown.replace(/=.*/, '')}${meant === undefined ? '' : `, did you mean ${meant}?`} ${help}`,
    );
  }
  const parsed = parse(own, options, help);
  const positionals = parsed.positionals.slice(command.words.length);
  const [least, most] = command.takes ?? [0, 0];
  if (positionals.length < least) throw new UsageError(`want ${usageOf(command)} ${help}`);
  const surplus = positionals[most];
  if (surplus !== undefined)
    throw new UsageError(`cannot use ${JSON.stringify(surplus)}: want ${usageOf(command)} ${help}`);
  const value = (name: string): unknown => parsed.values[name];
  return {
    positionals,
    rest,
    json: value('json') === true,
    text: (name) => {
      const found = value(name);
      return typeof found === 'string' ? found : undefined;
    },
    flag: (name, otherwise = false) => {
      const found = value(name);
      return typeof found === 'boolean' ? found : otherwise;
    },
    list: (name) => {
      const found = value(name);
      return Array.isArray(found) ? found.filter((each) => typeof each === 'string') : [];
    },
  };
}

function parse(args: string[], options: Record<string, Option>, help: string) {
  const declared = Object.fromEntries(
    Object.entries(options).map(([name, { type, multiple }]) => [name, { type, multiple: multiple === true }]),
  );
  try {
    return parseArgs({ args, options: declared, allowPositionals: true, allowNegative: true, strict: true });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.replace(/\.? To specify.*/s, '') : String(cause);
    throw new UsageError(`${message} ${help}`, { cause });
  }
}

export function usageOf(command: Command): string {
  return ['muster', ...command.words, command.usage].filter((part) => part !== '').join(' ');
}

/** The help of one command. */
export function commandHelp(command: Command): string {
  const own = optionLines(command.options ?? {});
  const parts = [`${usageOf(command)}\n\n${command.summary}`];
  if (command.details !== undefined) parts.push(command.details);
  if (own.length > 0) parts.push(`Options:\n${own.join('\n')}`);
  parts.push(`Everywhere:\n${optionLines(globalOptions).join('\n')}`);
  return `${parts.join('\n\n')}\n`;
}

/** What `run.ts` does without a controller. */
const others: [usage: string, summary: string][] = [
  ['up --interface NAME [options]', 'serve a rack: the controller itself (see muster up --help)'],
  ['version', 'print the version'],
  ['help [COMMAND]', 'say how it is used'],
];

/** The help of all of them. */
export function overview(commands: readonly Command[]): string {
  const all = [
    ...commands.map((command) => [usageOf(command).slice('muster '.length), command.summary] as const),
    ...others,
  ];
  const width = Math.max(...all.map(([usage]) => usage.length));
  return `muster: watch and steer a rack

${all.map(([usage, summary]) => `  ${usage.padEnd(width)}  ${summary}`).join('\n')}

Everywhere:
${optionLines(globalOptions).join('\n')}

Sizes are like 64M or 1G (powers of 1024). Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 waits for a
second operator.
`;
}

function optionLines(options: Record<string, Option>): string[] {
  const named = Object.entries(options).map(([name, { value, help }]) => ({
    left: `  --${name}${value === undefined ? '' : ` ${value}`}`,
    help,
  }));
  const width = Math.max(0, ...named.map(({ left }) => left.length));
  return named.map(({ left, help }) => `${left.padEnd(width)}  ${help}`);
}
