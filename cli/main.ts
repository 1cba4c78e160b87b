/**
 * `muster`, the operators' command line: a client of the controller's HTTP API and nothing more. It keeps no state and
 * decides nothing; whatever it shows can be had as JSON. This file alone reads argv and the environment.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runCommandLine } from './run.ts';

const argv = process.argv.slice(2);
const stop = new AbortController();
// A controller that this process becomes (`up`) handles the interrupt itself.
process.on('SIGINT', () => stop.abort());
// `muster events | head` is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const { MUSTER_URL: url, MUSTER_TOKEN: token, MUSTER_STATE: state, NO_COLOR: noColor, TERM: terminal } = process.env;
const isTerminal = process.stdout.isTTY;

process.exitCode = await runCommandLine(argv, {
  output: {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    tty: process.stderr.isTTY,
    columns: isTerminal ? process.stdout.columns : undefined,
    // An empty NO_COLOR is none (no-color.org). What goes to standard error is coloured only where both are a terminal.
    colours: isTerminal && process.stderr.isTTY && (noColor ?? '') === '' && terminal !== 'dumb',
  },
  signal: stop.signal,
  // What is empty is not set.
  variables: { url: url || undefined, token: token || undefined, state: state || undefined },
  readToken: (directory) => {
    try {
      const found = readFileSync(join(directory, 'operator-token'), 'utf8').trim();
      return found === '' ? undefined : { token: found };
    } catch (error) {
      // Not there, or not for us: the next place may have it, and the refusal will say that none was found.
      return error instanceof Error && 'code' in error && error.code === 'EACCES' ? 'unreadable' : undefined;
    }
  },
  // That of `npm start`, here or where this program is installed, and that of `muster up`.
  stateDirectories: ['.state/rack', fileURLToPath(new URL('../.state/rack', import.meta.url)), '/var/lib/muster'],
  now: Date.now,
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
});
