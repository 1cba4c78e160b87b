// What the command line does without a controller: become one, or run the table of faults.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

/**
 * Becomes `controller/main.ts` with the same arguments: a process of its own would outlive this one's kill -9, and keep its
 * ports. Where Node cannot, it is a process of its own.
 */
export function up(argv: readonly string[]): Promise<number> {
  const args = argv.map((arg) => (arg === '-h' ? '--help' : arg));
  const main = fileURLToPath(new URL('../controller/main.ts', import.meta.url));
  process.execve?.(process.execPath, [process.execPath, ...process.execArgv, main, ...args], process.env);
  return become(main, args);
}

const faultTable = fileURLToPath(new URL('../test/faults/main.ts', import.meta.url));

/** Runs the table of single faults, and ends as it ends. Throws where this installation comes without it. */
export async function runFaults(argv: readonly string[], main = faultTable): Promise<number> {
  if (!existsSync(main))
    throw new Error(`cannot run the table of faults: it is not at ${main}, want a checkout of the whole repository`);
  return become(main, argv);
}

/** Runs a program of this installation in our place, and ends as it ends. */
export async function become(main: string, argv: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, main, ...argv], { stdio: 'inherit' });
  // Ctrl-C goes to the whole group by itself; what is sent to this process alone must reach the controller.
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on('SIGTERM', forward).on('SIGHUP', forward);
  const [code, signal]: [number | null, NodeJS.Signals | null] = await waitForEnd(child);
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

async function waitForEnd(child: ReturnType<typeof spawn>): Promise<[number | null, NodeJS.Signals | null]> {
  const [code, signal]: unknown[] = await once(child, 'exit');
  return [typeof code === 'number' ? code : null, isSignal(signal) ? signal : null];
}

function isSignal(value: unknown): value is NodeJS.Signals {
  return typeof value === 'string' && value in constants.signals;
}
