// Runs every test of the project and closes with one line of totals: `N passed, N failed, N skipped`.
//
//   npm test                     the tools (format, lint, types), unit tests, tests that need root, end-to-end tests
//   npm test -- boot/ --unit     only files whose path holds one of the words, only of that kind (--unit --root --e2e)
//   npm test -- -t 'a name'      only tests whose name matches
//   npm run check                the tools and the unit tests: no root, no QEMU
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, inspect } from 'node:util';
import { run, type EventData } from 'node:test';
import { tools } from './tidy/tools.ts';

const rootDir = dirname(dirname(fileURLToPath(import.meta.url)));

type TestPass = EventData.TestPass;
type TestFail = EventData.TestFail;
/** `failed` has the headline of each failure and its reason: a long log ends with them. */
type Totals = { passed: number; failed: string[]; skipped: number };

/** `flag` chooses it on the command line. */
interface Kind {
  flag: 'unit' | 'root' | 'e2e';
  what: string;
  pattern: string;
  exclude?: readonly string[];
  /** So many of these files at once: each uses up to a core, or waits for a clock. */
  atOnce: number;
  fileTimeoutMs: number;
}

const unit: Kind = {
  flag: 'unit',
  what: 'unit',
  pattern: '**/*.test.ts',
  exclude: ['**/*.root.test.ts'],
  atOnce: 3,
  fileTimeoutMs: 120_000,
};
// Two racks of emulated boards at once would make each other slow.
const boards: Kind = { flag: 'e2e', what: 'boards', pattern: 'test/**/*.e2e.ts', atOnce: 1, fileTimeoutMs: 900_000 };
// They keep each core busy: beside anything else nobody could hold what these ask for.
const loads = ['test/failures/strangers.root.test.ts', 'test/faults/full-load.root.test.ts'];
// Networks and control groups are each file's own. Half the time it waits for a clock.
const root: Kind = {
  flag: 'root',
  what: 'root',
  pattern: '**/*.root.test.ts',
  exclude: loads,
  atOnce: 2,
  fileTimeoutMs: 600_000,
};
const page: Kind = { flag: 'e2e', what: 'page', pattern: 'dashboard/**/*.e2e.ts', atOnce: 1, fileTimeoutMs: 900_000 };
const alone: Kind = {
  flag: 'root',
  what: 'root, alone',
  pattern: `{${loads.join(',')}}`,
  atOnce: 1,
  fileTimeoutMs: 600_000,
};

/**
 * One after another. In each, files of the kind that is named first begin as soon as they may. Boards have the machine to
 * themselves: what they promise they cannot keep without a processor.
 */
const stages: readonly (readonly Kind[])[] = [[unit], [page, root], [boards], [alone]];
const filesAtOnce = 3;

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
      .flatMap((kind) => filesOf(kind, positionals).map((path): TestFile => ({ path, kind }))),
  );
  const isFiltered = positionals.length > 0 || values.name !== undefined || (asked.length > 0 && !values.check);
  if (isFiltered && chosen.every((files) => files.length === 0)) {
    process.stderr.write(`no test file matches ${[...argv].join(' ')}: want a part of a path such as boot/\n`);
    return 1;
  }

  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort(new Error(`got ${signal}`)));
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(wholeRunMs)]);

  const totals: Totals = { passed: 0, failed: [], skipped: 0 };
  if (!isFiltered) await runTools(totals);
  for (const files of chosen) await runFiles(files, { name: values.name, signal, totals });
  if (signal.aborted) totals.failed.push(`the run was ended early: ${String(signal.reason)}`);
  if (totals.failed.length > 0) process.stdout.write(`\n${totals.failed.map((each) => `✗ ${each}\n`).join('')}`);
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
  process.stdout.write(`\n${totals.passed} passed, ${totals.failed.length} failed${skipped}\n`);
  return totals.failed.length > 0 || totals.passed === 0 ? 1 : 0;
}

/** Backwards: the longest unit tests are in `test`, and begun last they would leave the machine half idle. */
function filesOf({ pattern, exclude = [] }: Kind, words: readonly string[]): string[] {
  const places = ['**/node_modules/**', '.cache/**', '.state/**', 'artefacts/**'];
  return globSync(pattern, { cwd: rootDir, exclude: [...places, ...exclude] })
    .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
    .toSorted()
    .toReversed();
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
    tellFailure(`${name}  ${seconds} s   again: ${argv.join(' ')}`, { totals });
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

interface TestFile {
  path: string;
  kind: Kind;
}

interface RunOptions {
  /** Of the tests to run; all where it is undefined. */
  name: string | undefined;
  signal: AbortSignal;
  totals: Totals;
}

async function runFiles(files: readonly TestFile[], options: RunOptions): Promise<void> {
  if (files.length === 0) return;
  const started = performance.now();
  const kinds = [...new Set(files.map(({ kind }) => kind.what))].join(', ');
  process.stdout.write(`\n── ${kinds}: ${files.length} files\n`);
  const left = [...files];
  const running = new Map<TestFile, Promise<void>>();
  while (left.length + running.size > 0) {
    const next = nextOf(left, [...running.keys()]);
    if (next === undefined) await Promise.race(running.values());
    else {
      left.splice(left.indexOf(next), 1);
      running.set(
        next,
        runFile(next, options).finally(() => running.delete(next)),
      );
    }
  }
  process.stdout.write(`── ${kinds}: ${secondsSince(started)} s\n`);
}

/** The first that may begin beside those that run; undefined while none may. */
function nextOf(left: readonly TestFile[], running: readonly TestFile[]): TestFile | undefined {
  if (running.length >= filesAtOnce) return undefined;
  return left.find(({ kind }) => running.filter((file) => file.kind === kind).length < kind.atOnce);
}

function secondsSince(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}

/** A runner for each file: only its signal ends a process that does not end by itself when its tests are done. */
async function runFile({ path, kind }: TestFile, { name, signal, totals }: RunOptions): Promise<void> {
  if (signal.aborted) return;
  const started = performance.now();
  const stream = run({
    cwd: rootDir,
    files: [`${rootDir}/${path}`],
    timeout: kind.fileTimeoutMs,
    signal: AbortSignal.any([signal, AbortSignal.timeout(kind.fileTimeoutMs)]),
    ...(name === undefined ? {} : { testNamePatterns: [new RegExp(name)] }),
  });
  for await (const event of stream) {
    if (event.type === 'test:stdout' || event.type === 'test:stderr') process.stdout.write(event.data.message);
    // A file's own totals come without its path.
    if (event.type === 'test:diagnostic' && event.data.file !== undefined)
      process.stdout.write(`ℹ ${event.data.message}\n`);
    if (event.type === 'test:pass') countPass(event.data, { path, totals });
    if (event.type === 'test:fail') countFailure(event.data, { path, totals });
  }
  if (kind !== unit) process.stdout.write(`── ${path}: ${secondsSince(started)} s\n`);
}

/** The runner reports each file as a test around its tests, named by its path; that one only counts when it fails. */
const isFileItself = ({ name, file }: { name: string; file?: string }): boolean => name === file;

interface Counted {
  /** Of the test's file. The runner names the file that calls `test`, which may be a fixture. */
  path: string;
  totals: Totals;
}

function countPass(data: TestPass, { path, totals }: Counted): void {
  if (data.details.type === 'suite' || isFileItself(data)) return;
  if (data.skip !== undefined || data.todo !== undefined) {
    totals.skipped += 1;
    return;
  }
  totals.passed += 1;
  process.stdout.write(`✓ ${path}: ${data.name}  ${Math.round(data.details.duration_ms)} ms\n`);
}

function countFailure(data: TestFail, { path, totals }: Counted): void {
  const { error, type } = data.details;
  if (isFileItself(data)) {
    // Its own tests have been counted; what is left is a crash, a leak or a time limit of the whole file.
    if (error.message.includes('subtest')) return;
    tellFailure(`${path}: its process crashed, or did not end (${error.message})`, { totals });
    process.stdout.write(`  again: npm test -- ${path}\n`);
    return;
  }
  // A suite fails because a test in it failed: that one has been counted.
  if (type === 'suite' && error.message.includes('subtest')) return;
  const cause = error.cause ?? error;
  tellFailure(`${path}: ${data.name}`, { totals, reason: cause instanceof Error ? cause.message : String(cause) });
  process.stdout.write(`${inspect(cause)}\n`);
  // A test within a test does not run without it.
  const which = data.nesting > 0 ? '' : ` -t '${data.name.replaceAll("'", '.')}'`;
  process.stdout.write(`  again: npm test -- ${path}${which}\n`);
}

function tellFailure(headline: string, { totals, reason }: { totals: Totals; reason?: string }): void {
  totals.failed.push(reason === undefined ? headline : `${headline}\n${reason.slice(0, 2_000)}`);
  process.stdout.write(`✗ ${headline}\n`);
}

// Each test file is a process of its own and reads much of the project: its code is stripped of types and compiled once.
process.env['NODE_COMPILE_CACHE'] ??= `${process.env['MUSTER_CACHE'] ?? `${rootDir}/.cache`}/compiled`;
process.exitCode = await main(process.argv.slice(2));
