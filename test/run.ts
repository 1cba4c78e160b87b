// Runs every test of the project and closes with one line of totals: `N passed, N failed, N skipped`.
//
//   npm test                     the tools (format, lint, types), unit tests, tests that need root, end-to-end tests
//   npm test -- boot/ --unit     only files whose path holds one of the words, only of that kind (--unit --root --e2e)
//   npm test -- -t 'a name'      only tests whose name matches
//   npm run check                the tools and the unit tests: no root, no QEMU
import { fork, spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { run } from 'node:test';
import { errorChain } from '../protocol/error-chain.ts';
import { outcomeOf } from './runner/outcome.ts';
import type { Told } from './runner/together.ts';
import { close, count, fail, type Totals } from './runner/totals.ts';
import { tools } from './tidy/tools.ts';

const rootDir = dirname(dirname(fileURLToPath(import.meta.url)));

/** `flag` chooses it on the command line. */
interface Kind {
  flag: 'unit' | 'root' | 'e2e';
  what: string;
  pattern: string;
  exclude?: readonly string[];
  /** So many processes at once: each uses up to a core, or waits for a clock. */
  atOnce: number;
  /** So many files in one process, which loads what they share once; each has one of its own where it is left out. */
  together?: number;
  /** Of a process. */
  timeoutMs: number;
}

const unit: Kind = {
  flag: 'unit',
  what: 'unit',
  pattern: '**/*.test.ts',
  exclude: ['**/*.root.test.ts'],
  atOnce: 3,
  together: 16,
  timeoutMs: 300_000,
};
// Two racks of emulated boards at once would make each other slow.
const boards: Kind = { flag: 'e2e', what: 'boards', pattern: 'test/**/*.e2e.ts', atOnce: 1, timeoutMs: 900_000 };
// They keep each core busy: beside anything else nobody could hold what these ask for.
const loads = ['test/failures/strangers', 'test/faults/full-load', 'test/gap/gap'].map(
  (file) => `${file}.root.test.ts`,
);
// Networks and control groups are each file's own. Half the time it waits for a clock.
const root: Kind = {
  flag: 'root',
  what: 'root',
  pattern: '**/*.root.test.ts',
  exclude: loads,
  atOnce: 2,
  timeoutMs: 600_000,
};
const page: Kind = { flag: 'e2e', what: 'page', pattern: 'dashboard/**/*.e2e.ts', atOnce: 1, timeoutMs: 900_000 };
const alone: Kind = {
  flag: 'root',
  what: 'root, alone',
  pattern: `{${loads.join(',')}}`,
  atOnce: 1,
  timeoutMs: 600_000,
};

/**
 * One after another. In each, files of the kind that is named first begin as soon as they may. Boards have the machine to
 * themselves: what they promise they cannot keep without a processor.
 */
const stages: readonly (readonly Kind[])[] = [[unit], [page, root], [boards], [alone]];
const processesAtOnce = 3;

// The whole run must end within an hour on a cold machine, set-up included.
const wholeRunMs = 50 * 60_000;

async function main(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      check: { type: 'boolean', default: false },
      unit: { type: 'boolean', default: false },
      root: { type: 'boolean', default: false },
      e2e: { type: 'boolean', default: false },
      name: { type: 'string', short: 't' },
    },
  });
  const asked = stages.flat().filter(({ flag }) => values[flag] || (values.check && flag === 'unit'));
  const chosen = stages.map((kinds) =>
    kinds
      .filter((kind) => asked.length === 0 || asked.includes(kind))
      .flatMap((kind) => jobsOf(kind, filesOf(kind, positionals))),
  );
  const isFiltered = positionals.length > 0 || values.name !== undefined || (asked.length > 0 && !values.check);
  if (isFiltered && chosen.every((jobs) => jobs.length === 0)) {
    process.stderr.write(`no test file matches ${[...argv].join(' ')}: want a part of a path such as boot/\n`);
    return 1;
  }

  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort(new Error(`got ${signal}`)));
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(wholeRunMs)]);

  const totals: Totals = { passed: 0, failed: [], skipped: 0 };
  if (!isFiltered) await runTools(totals);
  for (const jobs of chosen) await runJobs(jobs, { name: values.name, signal, totals });
  if (signal.aborted) fail(totals, { headline: `the run was ended early: ${String(signal.reason)}` });
  return close(totals);
}

/** Backwards: the longest unit tests are in `test`, and begun last they would leave the machine half idle. */
function filesOf({ pattern, exclude = [] }: Kind, words: readonly string[]): string[] {
  const places = ['**/node_modules/**', '.cache/**', '.state/**', 'artefacts/**'];
  return globSync(pattern, { cwd: rootDir, exclude: [...places, ...exclude] })
    .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
    .toSorted()
    .toReversed();
}

/** What runs long lies side by side: each process gets files from all over. */
function jobsOf(kind: Kind, files: readonly string[]): Job[] {
  const count = Math.ceil(files.length / (kind.together ?? 1));
  return Array.from({ length: count }, (_, job) => ({ kind, files: files.filter((_file, i) => i % count === job) }));
}

/** Two at a time, the longest first: the machine may have no more cores, and each uses one. */
async function runTools(totals: Totals): Promise<void> {
  const left = [...tools];
  const work = async (): Promise<void> => {
    for (let tool = left.shift(); tool !== undefined; tool = left.shift()) await runTool(tool, totals);
  };
  await Promise.all([work(), work()]);
}

async function runTool({ name, argv }: (typeof tools)[number], totals: Totals): Promise<void> {
  const started = performance.now();
  const { code, output } = await capture(argv);
  const seconds = secondsSince(started);
  if (code === 0) {
    totals.passed += 1;
    process.stdout.write(`✓ ${name}  ${seconds} s\n`);
  } else {
    process.stdout.write(`${output}\n`);
    fail(totals, { headline: `${name}  ${seconds} s   again: ${argv.join(' ')}` });
  }
}

function capture(argv: readonly string[]): Promise<{ code: number; output: string }> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: rootDir, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const take = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-65_536);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** What one process does. */
interface Job {
  kind: Kind;
  /** Paths from the project's root. */
  files: readonly string[];
}

interface RunOptions {
  /** Of the tests to run; all where it is undefined. */
  name: string | undefined;
  signal: AbortSignal;
  totals: Totals;
}

async function runJobs(jobs: readonly Job[], options: RunOptions): Promise<void> {
  if (jobs.length === 0) return;
  const started = performance.now();
  const kinds = [...new Set(jobs.map(({ kind }) => kind.what))].join(', ');
  process.stdout.write(`\n── ${kinds}: ${jobs.flatMap(({ files }) => files).length} files\n`);
  const left = [...jobs];
  const running = new Map<Job, Promise<void>>();
  while (left.length + running.size > 0) {
    const next = nextOf(left, [...running.keys()]);
    if (next === undefined) await Promise.race(running.values());
    else {
      left.splice(left.indexOf(next), 1);
      const work = next.kind.together === undefined ? runFile : runTogether;
      running.set(
        next,
        work(next, options).finally(() => running.delete(next)),
      );
    }
  }
  process.stdout.write(`── ${kinds}: ${secondsSince(started)} s\n`);
}

/** The first that may begin beside those that run; undefined while none may. */
function nextOf(left: readonly Job[], running: readonly Job[]): Job | undefined {
  if (running.length >= processesAtOnce) return undefined;
  return left.find(({ kind }) => running.filter((job) => job.kind === kind).length < kind.atOnce);
}

function secondsSince(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}

/** A runner for each file: only its signal ends a process that does not end by itself when its tests are done. */
async function runFile({ files: [path = ''], kind }: Job, { name, signal, totals }: RunOptions): Promise<void> {
  if (signal.aborted) return;
  const started = performance.now();
  const stream = run({
    cwd: rootDir,
    files: [`${rootDir}/${path}`],
    timeout: kind.timeoutMs,
    signal: AbortSignal.any([signal, AbortSignal.timeout(kind.timeoutMs)]),
    ...(name === undefined ? {} : { testNamePatterns: [new RegExp(name)] }),
  });
  for await (const event of stream) {
    if (event.type === 'test:stdout' || event.type === 'test:stderr') process.stdout.write(event.data.message);
    // A file's own totals come without its path.
    if (event.type === 'test:diagnostic' && event.data.file !== undefined)
      process.stdout.write(`ℹ ${event.data.message}\n`);
    const outcome = outcomeOf(event);
    if (outcome !== undefined) count(totals, { ...outcome, path });
  }
  process.stdout.write(`── ${path}: ${secondsSince(started)} s\n`);
}

async function runTogether({ files, kind }: Job, { name, signal, totals }: RunOptions): Promise<void> {
  if (signal.aborted) return;
  const program = fileURLToPath(new URL('runner/together.ts', import.meta.url));
  const child = fork(program, [name ?? '', ...files], {
    cwd: rootDir,
    signal: AbortSignal.any([signal, AbortSignal.timeout(kind.timeoutMs)]),
    killSignal: 'SIGKILL',
  });
  let at = 'before its first test';
  child.on('message', (told: Told) => {
    if ('begins' in told) at = `in “${told.begins}”`;
    if ('note' in told) process.stdout.write(`ℹ ${told.note}\n`);
    if ('ended' in told) count(totals, { ...told.ended, path: relative(rootDir, told.ended.file) });
    if ('done' in told) at = 'after its last test';
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  child.on('error', (error) => resolve(errorChain(error)));
  child.on('exit', (code, killedBy) => resolve(`${killedBy ?? code}`));
  const end = await promise;
  // A failed test has been counted.
  if (at === 'after its last test' && ['0', '1'].includes(end)) return;
  fail(totals, { headline: `the process of ${files.join(', ')} ended ${at} (${end})` });
}

// Each process reads much of the project: its code is stripped of types and compiled once.
process.env['NODE_COMPILE_CACHE'] ??= `${process.env['MUSTER_CACHE'] ?? `${rootDir}/.cache`}/compiled`;
process.exitCode = await main(process.argv.slice(2));
