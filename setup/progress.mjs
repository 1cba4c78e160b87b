// One line for each step, with what it cost. On a terminal a running step shows its time and the last line its
// program printed; elsewhere (CI, a pipe) a step that takes long announces itself once, and each finished step is one line.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** A failure with one sentence for the person who ran the command: what was wanted and what to do next. */
export class SetupError extends Error {
  /** @param {string} sentence @param {{ cause?: unknown, logPath?: string }} [more] */
  constructor(sentence, more = {}) {
    super(sentence, more.cause === undefined ? {} : { cause: more.cause });
    this.logPath = more.logPath;
  }
}

const formatSeconds = (ms) => (ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`);

/**
 * Runs `work` as one step of set-up. `work` returns what to say of the result (a size, a version), or nothing.
 * @param {string} title
 * @param {(report: (line: string) => void) => Promise<string | void>} work
 */
export async function step(title, work) {
  const started = performance.now();
  const isTerminal = process.stdout.isTTY === true;
  let latest = '';
  let announced = false;
  const draw = () => {
    const elapsedMs = performance.now() - started;
    if (isTerminal) {
      const room = Math.max(20, (process.stdout.columns ?? 80) - 1);
      process.stdout.write(`\r\x1b[K${`… ${title} ${formatSeconds(elapsedMs)} ${latest}`.slice(0, room)}`);
    } else if (!announced && elapsedMs > 1500) {
      announced = true;
      process.stdout.write(`… ${title}\n`);
    }
  };
  const timer = setInterval(draw, isTerminal ? 200 : 500);
  try {
    const result = await work((line) => {
      latest = line.trim();
    });
    if (isTerminal) process.stdout.write('\r\x1b[K');
    const note = typeof result === 'string' && result !== '' ? `  ${result}` : '';
    process.stdout.write(`✓ ${title}${note}  ${formatSeconds(performance.now() - started)}\n`);
  } catch (error) {
    if (isTerminal) process.stdout.write('\r\x1b[K');
    process.stdout.write(`✗ ${title}  ${formatSeconds(performance.now() - started)}\n`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/**
 * Runs a program to its end, with its output in the log file and its lines given to `report`.
 * Resolves with stdout (bounded to the last 64 KB); rejects with a SetupError that ends in the last lines printed.
 * @param {string[]} argv
 * @param {{ logPath: string, cwd?: string, env?: NodeJS.ProcessEnv, report?: (line: string) => void, hint?: string }} options
 */
export function runLogged(argv, options) {
  const [program = '', ...args] = argv;
  mkdirSync(dirname(options.logPath), { recursive: true });
  appendFileSync(options.logPath, `\n$ ${argv.join(' ')}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let everything = '';
    const take = (chunk) => {
      const text = chunk.toString();
      appendFileSync(options.logPath, text);
      everything = (everything + text).slice(-65_536);
      const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== '');
      const last = lines.at(-1);
      if (last !== undefined) options.report?.(last);
      return text;
    };
    child.stdout.on('data', (chunk) => {
      stdout = (stdout + take(chunk)).slice(-65_536);
    });
    child.stderr.on('data', take);
    child.on('error', (cause) =>
      reject(new SetupError(`cannot run ${program}: ${cause.message}`, { cause, logPath: options.logPath })),
    );
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(stdout);
      const tail = everything.trimEnd().split('\n').slice(-12).join('\n');
      const how = signal === null ? `exit code ${code}` : signal;
      reject(
        new SetupError(`${options.hint ?? `${program} failed`} (${how})`, {
          cause: new Error(tail),
          logPath: options.logPath,
        }),
      );
    });
  });
}
