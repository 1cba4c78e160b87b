// One command line from argv to exit code. Everything of the process comes in as an argument.
import { printable } from '../protocol/printable.ts';
import { connect } from './api.ts';
import {
  commandHelp,
  findCommand,
  globalOptions,
  overview,
  parseCall,
  UsageError,
  type Context,
  type Output,
} from './command.ts';
import { commands } from './commands.ts';
import { guarded } from './print.ts';
import { up, version } from './process.ts';

export interface Environment {
  output: Output;
  signal: AbortSignal;
  /** Of $MUSTER_URL, $MUSTER_TOKEN, $MUSTER_STATE. */
  variables: { url?: string | undefined; token?: string | undefined; state?: string | undefined };
  /** Reads the operators' token in that directory; undefined where there is none that can be read. */
  readonly readToken: (directory: string) => string | undefined;
  /** State directories to look at when none is named, the best first. */
  stateDirectories: readonly string[];
  readonly now: () => number;
  readonly monotonic: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

export const defaultUrl = 'http://127.0.0.1:8080';

/** Gives the exit code: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted. */
export async function runCommandLine(argv: readonly string[], given: Environment): Promise<number> {
  const environment = { ...given, output: guarded(given.output) };
  const { output, signal } = environment;
  try {
    return await dispatch(argv, environment);
  } catch (error) {
    if (error instanceof UsageError) {
      output.err(`muster: ${error.message}\n`);
      return 2;
    }
    if (signal.aborted) return 130;
    // One line: the controller's sentence may tell what a board said.
    output.err(`muster: ${printable(error instanceof Error ? error.message : String(error))}\n`);
    return 1;
  }
}

async function dispatch(argv: readonly string[], environment: Environment): Promise<number> {
  const { output, variables, signal } = environment;
  const [first] = argv;
  if (first === 'up') return up(argv);
  const asksHelp = first === 'help';
  const words = asksHelp ? argv.slice(1) : argv;
  if (words[0] === 'version' || words[0] === '--version') {
    output.out(words.includes('--json') ? `${JSON.stringify({ version })}\n` : `muster ${version}\n`);
    return 0;
  }
  const command = findCommand(commands, words);
  if (command === undefined) {
    if (asksHelp || words.includes('--help')) {
      output.out(overview(commands));
      return 0;
    }
    const unknown = words.find((word) => word.startsWith('-') && !(word.slice(2).replace(/=.*/, '') in globalOptions));
    if (unknown !== undefined) throw new UsageError(`there is no option ${unknown} (see muster help)`);
    output.err(overview(commands));
    return 2;
  }
  const end = words.indexOf('--');
  if (asksHelp || (end < 0 ? words : words.slice(0, end)).includes('--help')) {
    output.out(commandHelp(command));
    return 0;
  }
  const call = parseCall(command, words);
  const url = call.text('url') ?? variables.url ?? defaultUrl;
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw new UsageError(`the controller's URL is ${JSON.stringify(url)}, want one like ${defaultUrl}`);
  }
  const state = call.text('state') ?? variables.state;
  const token = (): string | undefined =>
    call.text('token') ??
    variables.token ??
    (state === undefined ? environment.stateDirectories : [state])
      .map(environment.readToken)
      .find((found) => found !== undefined);
  const context: Context = {
    api: connect({ url: url.replace(/\/$/, ''), token, signal }),
    output,
    signal,
    now: environment.now,
    monotonic: environment.monotonic,
    sleep: (ms) => environment.sleep(ms, signal),
  };
  return (await command.run(context, call)) ?? 0;
}
