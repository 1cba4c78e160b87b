// One command line from argv to exit code. Everything of the process comes in as an argument.
import { printable, printableJson } from '../protocol/printable.ts';
import { ApiError, connect, type FoundToken } from './api/api.ts';
import {
  asksHelp,
  FailedError,
  findCommand,
  globalOptions,
  leadingWords,
  ownArguments,
  parseCall,
  unknownCommand,
  UsageError,
  type Call,
  type Context,
} from './command.ts';
import { allCommands, commandParts, commandsOf } from './commands.ts';
import { guarded, type Output, type Screen } from './print/screen.ts';

export interface Environment {
  output: Output;
  signal: AbortSignal;
  /** Of $MUSTER_URL, $MUSTER_TOKEN, $MUSTER_STATE. */
  variables: { url?: string | undefined; token?: string | undefined; state?: string | undefined };
  /** Reads the operators' token in that directory; undefined where there is none, `unreadable` where it is not for us. */
  readonly readToken: (directory: string) => { token: string } | 'unreadable' | undefined;
  /** State directories to look at when none is named, the best first. */
  stateDirectories: readonly string[];
  readonly now: () => number;
  readonly monotonic: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

const defaultUrl = 'http://127.0.0.1:8080';

/** Gives the exit code: those of `exitCodes` in help.ts. */
export async function runCommandLine(argv: readonly string[], environment: Environment): Promise<number> {
  const screen = guarded(environment.output);
  try {
    return await dispatch(argv, { ...environment, screen });
  } catch (error) {
    if (environment.signal.aborted) return 130;
    return tell(error, { screen, isJson: ownArguments(argv).includes('--json') });
  }
}

/** Says the error, once, and gives the exit code. */
function tell(error: unknown, { screen, isJson }: { screen: Screen; isJson: boolean }): number {
  const message = error instanceof Error ? error.message : String(error);
  const isOurs = error instanceof FailedError || error instanceof ApiError;
  const code = error instanceof UsageError ? 'usage' : isOurs ? error.code : 'failed';
  if (isJson) {
    const status = error instanceof ApiError && error.status > 0 ? { status: error.status } : {};
    screen.err(`${printableJson(JSON.stringify({ error: message, code, ...status }))}\n`);
  } else {
    // The controller's sentence may tell what a board said; those of a command's own have lines.
    const text = error instanceof FailedError ? message : printable(message);
    screen.err([{ text: 'muster:', tone: 'bad' }, { text: ` ${text}\n` }]);
  }
  if (error instanceof UsageError) return 2;
  return error instanceof FailedError ? error.exitCode : 1;
}

/** What a terminal may show goes to the screen, and nothing to the output behind it. */
type Surroundings = Omit<Environment, 'output'> & { screen: Screen };

async function dispatch(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { screen } = surroundings;
  const isHelp = argv[0] === 'help';
  const own = isHelp ? argv.slice(1) : argv;
  const words = leadingWords(own);
  const [first] = words;
  if (isHelp || asksHelp(own)) return await help(words, screen);
  if (first === undefined) return await withoutCommand(own, surroundings);
  if (first === 'up') {
    const { up } = await import('./process.ts');
    return await up(own);
  }
  const command = findCommand(await commandsOf(first), words);
  if (command === undefined) throw unknownCommand(await allCommands(), words);
  const call = parseCall(command, own);
  return (await command.run(contextFor(call, surroundings), call)) ?? 0;
}

async function help(words: readonly string[], screen: Screen): Promise<number> {
  const [first = '', second] = words;
  if (first === 'up') {
    const { up } = await import('./process.ts');
    return await up(['up', '--help']);
  }
  const { commandHelp, groupHelp, overview } = await import('./help/help.ts');
  if (first === '' || first === 'help') {
    screen.out(overview(await commandParts(), screen));
    return 0;
  }
  const commands = await commandsOf(first);
  // `kill show` is asked about, whatever `kill show` would be taken for without a number.
  const command = findCommand(
    commands.map(({ applies: _applies, ...declared }) => declared),
    words,
  );
  if (command !== undefined) screen.out(commandHelp(command, { commands, columns: screen.columns }));
  else if (commands.length > 0 && second === undefined)
    screen.out(groupHelp(first, { commands, columns: screen.columns }));
  else throw unknownCommand(await allCommands(), words);
  return 0;
}

async function withoutCommand(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  if (argv.includes('--version'))
    return await dispatch(['version', ...argv.filter((arg) => arg === '--json')], surroundings);
  const unknown = argv.find((arg) => arg.startsWith('-') && !(arg.slice(2).replace(/=.*/, '') in globalOptions));
  if (unknown !== undefined) throw new UsageError(`there is no option ${unknown} (see muster help)`);
  const { overview } = await import('./help/help.ts');
  surroundings.screen.err(overview(await commandParts(), surroundings.screen));
  return 2;
}

function contextFor(call: Call, surroundings: Surroundings): Context {
  const { variables, signal } = surroundings;
  const url = call.text('url') ?? variables.url ?? defaultUrl;
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw new UsageError(`the controller's URL is ${JSON.stringify(url)}, want one like ${defaultUrl}`);
  }
  return {
    api: connect({ url: url.replace(/\/$/, ''), token: () => findToken(call, surroundings), signal }),
    output: surroundings.screen,
    json: call.json,
    signal,
    commands: allCommands,
    now: surroundings.now,
    monotonic: surroundings.monotonic,
    sleep: (ms) => surroundings.sleep(ms, signal),
  };
}

function findToken(call: Call, { variables, stateDirectories, readToken }: Surroundings): FoundToken {
  const given = call.text('token');
  if (given !== undefined) return { token: given, from: '--token' };
  if (variables.token !== undefined) return { token: variables.token, from: '$MUSTER_TOKEN' };
  const named = call.text('state-dir') ?? variables.state;
  const looked = [];
  for (const directory of named === undefined ? stateDirectories : [named]) {
    const found = readToken(directory);
    if (typeof found === 'object') return { token: found.token, from: `${directory}/operator-token` };
    looked.push(`${found === 'unreadable' ? 'not allowed to read it' : 'not'} in ${directory}`);
  }
  return { missing: `neither --token nor $MUSTER_TOKEN; ${looked.join(', ')}` };
}
