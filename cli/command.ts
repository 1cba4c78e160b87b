// What a command is, and the way from argv to it: options by `node:util` parseArgs, help from the same declaration.
import { parseArgs } from 'node:util';
import type { Api } from './api/api.ts';
import type { Screen } from './print/screen.ts';
import { suggestion } from './arguments/suggestion.ts';

export interface Option {
  type: 'string' | 'boolean';
  multiple?: true;
  /** One letter, for those who type it often. */
  short?: string;
  /** What a string is called in the help; `one|other` are choices, FILE and DIR are completed as such by shells. */
  value?: string;
  help: string;
}

export interface Context {
  api: Api;
  output: Screen;
  /** Answers are wanted as JSON. */
  json: boolean;
  signal: AbortSignal;
  /** All of them, for what tells of them. */
  readonly commands: () => Promise<readonly Command[]>;
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
  /** Whether it was said at all. */
  isGiven(option: string): boolean;
  /** `--no-name`, where a command declares that beside `--name VALUE`. */
  removes(option: string): boolean;
}

export interface Command {
  words: string[];
  /** What some type instead of the words; as many as these. */
  also?: string[];
  /** What follows the words. */
  usage: string;
  summary: string;
  details?: string;
  options?: Record<string, Option>;
  /** How many positionals, at least and at most. */
  takes?: [number, number];
  takesRest?: true;
  /** Says whether the words mean this command, where they may mean another. */
  readonly applies?: (after: readonly string[]) => boolean;
  /** Gives the exit code; 0 when it gives none. */
  run(context: Context, call: Call): Promise<number | void>;
}

/** Something on the command line is not as wanted: exit code 2. */
export class UsageError extends Error {}

/** What was asked for did not come about: exit code 1 or another one, and a code for programs. */
export class FailedError extends Error {
  readonly code: string;
  readonly exitCode: number;
  constructor(message: string, { code, exitCode = 1, cause }: { code: string; exitCode?: number; cause?: unknown }) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.exitCode = exitCode;
  }
}

export const globalOptions = {
  url: { type: 'string', value: 'URL', help: 'the controller (default $MUSTER_URL or http://127.0.0.1:8080)' },
  token: { type: 'string', value: 'TOKEN', help: "an operator's token (default $MUSTER_TOKEN, or from --state-dir)" },
  'state-dir': {
    type: 'string',
    value: 'DIR',
    help: "the controller's state, for its operator-token (default $MUSTER_STATE)",
  },
  json: { type: 'boolean', help: 'print JSON; errors too, on standard error' },
  help: { type: 'boolean', help: 'say how it is used (also -h)' },
} as const satisfies Record<string, Option>;

/** What an option was called once, or is in other programs, for everybody who types it still. */
const renamed: Record<string, string> = { state: 'state-dir', 'env-rm': 'no-env', 'env-add': 'env' };

/** What stands before `--`. */
export function ownArguments(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end);
}

export function asksHelp(argv: readonly string[]): boolean {
  return ownArguments(argv).some((arg) => arg === '--help' || arg === '-h');
}

/** The words before the first `--`, without options and the values of the global ones. */
export function leadingWords(argv: readonly string[]): string[] {
  const own = ownArguments(argv);
  const withValue = Object.entries(globalOptions).flatMap(([name, { type }]) => (type === 'string' ? `--${name}` : []));
  return own.filter((arg, at) => !arg.startsWith('-') && !withValue.includes(own[at - 1] ?? ''));
}

/** The command that the words name; undefined where they name none. */
export function findCommand(commands: readonly Command[], words: readonly string[]): Command | undefined {
  const matches = commands.filter(
    (command) =>
      [command.words, command.also].some((own) => own?.every((word, index) => words[index] === word) === true) &&
      (command.applies?.(words.slice(command.words.length)) ?? true),
  );
  return matches.toSorted((a, b) => b.words.length - a.words.length)[0];
}

/** Why `findCommand()` found none. */
export function unknownCommand(commands: readonly Command[], words: readonly string[]): UsageError {
  const [first = ''] = words;
  const group = commands.filter((command) => command.words[0] === first).map(({ words: own }) => own.join(' '));
  if (group.length > 0) {
    // `customer list`, as other programs call it.
    const isList = /^(list|ls)$/.test(words[1] ?? '') && commands.some(({ words: [own] }) => own === `${first}s`);
    const meant = isList ? `${first}s` : suggestion(words.slice(0, 2).join(' '), group);
    return new UsageError(`want one of: ${group.join(', ')}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`);
  }
  const meant = suggestion(first, [...commands.flatMap(({ words: own }) => own[0] ?? []), 'up', 'help']);
  return new UsageError(
    `there is no command ${JSON.stringify(first)}${meant === undefined ? '' : `, did you mean ${meant}?`} (see muster help)`,
  );
}

export function parseCall(command: Command, argv: readonly string[]): Call {
  const options: Record<string, Option> = { ...globalOptions, ...command.options };
  const own = withNegativeNumbers(ownArguments(argv), options);
  const rest = argv.slice(ownArguments(argv).length + 1);
  const help = `(see muster ${command.words.join(' ')} --help)`;
  if (rest.length > 0 && command.takesRest !== true) throw new UsageError(`want nothing after -- ${help}`);
  refuseUnknown(own, { options, help });
  const parsed = parse(own, { options, help });
  refuseContradiction(parsed.tokens, { options, help });
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
    isGiven: (name) => value(name) !== undefined,
    // `parseArgs` reads `--no-port` as a negated `--port`, whatever is declared.
    removes: (name) => value(name) === false,
  };
}

/** `--port -1` is a port that is refused as such, and no option `-1`. */
function withNegativeNumbers(args: readonly string[], options: Record<string, Option>): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const before = joined.at(-1) ?? '';
    const takesIt = /^-[0-9]/.test(arg) && /^--[^=]+$/.test(before) && options[before.slice(2)]?.type === 'string';
    if (takesIt) joined[joined.length - 1] = `${before}=${arg}`;
    else joined.push(arg);
  }
  return joined;
}

interface Declared {
  options: Record<string, Option>;
  /** Where to read on, as the end of a sentence. */
  help: string;
}

function refuseUnknown(args: readonly string[], { options, help }: Declared): void {
  const isKnown = (name: string) =>
    options[name] !== undefined || options[name.replace(/^no-/, '')]?.type === 'boolean';
  const unknown = args.flatMap((arg) => /^--([^=]+)/.exec(arg)?.[1] ?? []).find((name) => !isKnown(name));
  if (unknown === undefined) return;
  const meant = suggestion(
    `--${unknown}`,
    Object.keys(options).map((name) => `--${name}`),
  );
  const newName = renamed[unknown];
  const hint =
    newName !== undefined ? `, it is --${newName} now` : meant === undefined ? '' : `, did you mean ${meant}?`;
  throw new UsageError(`there is no option --${unknown}${hint} ${help}`);
}

/** `--port 80 --no-port`: the last one would win, and nobody can have meant that. */
function refuseContradiction(tokens: ReturnType<typeof parse>['tokens'], { options, help }: Declared): void {
  const given = new Set(tokens.flatMap((token) => (token.kind === 'option' ? [token.rawName] : [])));
  // `--env A=1 --no-env B` is none: there each names what it means.
  const both = Object.keys(options).find(
    (name) => given.has(`--${name}`) && given.has(`--no-${name}`) && options[`no-${name}`]?.type !== 'string',
  );
  if (both !== undefined) throw new UsageError(`want --${both} or --no-${both}, and not both ${help}`);
}

function parse(args: string[], { options, help }: Declared) {
  const declared = Object.fromEntries(
    Object.entries(options).map(([name, { type, multiple, short }]) => [
      name,
      { type, multiple: multiple === true, ...(short === undefined ? {} : { short }) },
    ]),
  );
  try {
    return parseArgs({
      args,
      options: declared,
      allowPositionals: true,
      allowNegative: true,
      strict: true,
      tokens: true,
    });
  } catch (cause) {
    throw new UsageError(`${inWords(cause)} ${help}`, { cause });
  }
}

/** What `parseArgs` finds wrong, in our words. */
function inWords(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  const [, short] = /^Unknown option '(-[^-][^']*)'/.exec(message) ?? [];
  if (short !== undefined) return `there is no option ${short}`;
  const [, option] = /^Option '(?:-\w, )?(--[\w-]+)/.exec(message) ?? [];
  if (option === undefined) return message.replace(/\.? To specify.*/s, '');
  if (message.includes('does not take')) return `${option} takes no value`;
  if (message.includes('ambiguous')) return `${option} wants a value; one that begins with - is written ${option}=-…`;
  return `${option} wants a value`;
}

export function usageOf(command: Command): string {
  return ['muster', ...command.words, command.usage].filter((part) => part !== '').join(' ');
}
