// Runs every test of the project and closes with one line of totals: `N passed, N failed, N skipped`.
//
//   npm test                     the tools (format, lint, types), unit tests, tests that need root, end-to-end tests
//   npm test -- boot/ --unit     only files whose path holds one of the words, only of that kind (--unit --root --e2e)
//   npm test -- -t 'a name'      only tests whose name matches
//   npm run check                the tools and the unit tests: no root, no QEMU
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, inspect } from 'node:util';
import { run, type EventData } from 'node:test';
import { tools } from './tidy/tools.ts';

const rootDir = dirname(dirname(fileURLToPath(import.meta.url)));

type TestPass = EventData.TestPass;
type TestFail = EventData.TestFail;
/** `failed` has the headline of each failure: a long log ends with them. */
type Totals = { passed: number; failed: string[]; skipped: number };

// Some unit tests only wait for the clock. Boards in QEMU keep both cores of a small machine busy: what needs root or boots
// boards runs one file at a time.
const phases = [
  { kind: 'unit', pattern: '**/*.test.ts', concurrency: 3, fileTimeoutMs: 120_000 },
  { kind: 'root', pattern: '**/*.root.test.ts', concurrency: 1, fileTimeoutMs: 600_000 },
  { kind: 'e2e', pattern: '**/*.e2e.ts', concurrency: 1, fileTimeoutMs: 900_000 },
] as const;
type Phase = (typeof phases)[number];

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
  const asked = phases.filter(({ kind }) => values[kind] || (values.check && kind === 'unit'));
  const chosen = (asked.length > 0 ? asked : phases).map((phase) => ({ ...phase, files: filesOf(phase, positionals) }));
  const isFiltered = positionals.length > 0 || values.name !== undefined || (asked.length > 0 && !values.check);
  if (isFiltered && chosen.every(({ files }) => files.length === 0)) {
    process.stderr.write(`no test file matches ${[...argv].join(' ')}: want a part of a path such as boot/\n`);
    return 1;
  }

  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort(new Error(`got ${signal}`)));
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(wholeRunMs)]);

  const totals: Totals = { passed: 0, failed: [], skipped: 0 };
  if (!isFiltered) await runTools(totals);
  for (const phase of chosen) {
    if (phase.files.length > 0) await runPhase({ ...phase, name: values.name, signal, totals });
  }
  if (signal.aborted) totals.failed.push(`the run was ended early: ${String(signal.reason)}`);
  if (totals.failed.length > 0) process.stdout.write(`\n${totals.failed.map((each) => `✗ ${each}\n`).join('')}`);
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
  process.stdout.write(`\n${totals.passed} passed, ${totals.failed.length} failed${skipped}\n`);
  return totals.failed.length > 0 || totals.passed === 0 ? 1 : 0;
}

/** Backwards: the longest unit tests are in `test`, and begun last they would leave the machine half idle. */
function filesOf(phase: Phase, words: readonly string[]): string[] {
  const exclude = ['**/node_modules/**', '.cache/**', '.state/**', 'artefacts/**'];
  return globSync(phase.pattern, { cwd: rootDir, exclude })
    .filter((path) => phase.kind !== 'unit' || !path.endsWith('.root.test.ts'))
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
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (code === 0) {
    totals.passed += 1;
    process.stdout.write(`✓ ${name}  ${seconds} s\n`);
  } else {
    process.stdout.write(`${output}\n`);
    tellFailure(`${name}  ${seconds} s   again: ${argv.join(' ')}`, totals);
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

type PhaseRun = Phase & { files: string[]; name: string | undefined; signal: AbortSignal; totals: Totals };

async function runPhase({ kind, files, concurrency, name, ...rest }: PhaseRun): Promise<void> {
  const started = performance.now();
  process.stdout.write(`\n── ${kind}: ${files.length} files\n`);
  const left = [...files];
  const work = async (): Promise<void> => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) await runFile(file, { name, ...rest });
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  process.stdout.write(`── ${kind}: ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

/** A runner for each file: only its signal ends a process that does not end by itself when its tests are done. */
async function runFile(
  file: string,
  { name, signal, totals, fileTimeoutMs }: Pick<PhaseRun, 'name' | 'signal' | 'totals' | 'fileTimeoutMs'>,
): Promise<void> {
  if (signal.aborted) return;
  const stream = run({
    cwd: rootDir,
    files: [`${rootDir}/${file}`],
    timeout: fileTimeoutMs,
    signal: AbortSignal.any([signal, AbortSignal.timeout(fileTimeoutMs)]),
    ...(name === undefined ? {} : { testNamePatterns: [new RegExp(name)] }),
  });
  for await (const event of stream) {
    if (event.type === 'test:stdout' || event.type === 'test:stderr') process.stdout.write(event.data.message);
    // A file's own totals come without its path.
    if (event.type === 'test:diagnostic' && event.data.file !== undefined)
      process.stdout.write(`ℹ ${event.data.message}\n`);
    if (event.type === 'test:pass') countPass(event.data, totals);
    if (event.type === 'test:fail') countFailure(event.data, totals);
  }
}

/** The runner reports each file as a test around its tests, named by its path; that one only counts when it fails. */
const isFileItself = ({ name, file }: { name: string; file?: string }): boolean => name === file;

function countPass(data: TestPass, totals: Totals): void {
  if (data.details.type === 'suite' || isFileItself(data)) return;
  if (data.skip !== undefined || data.todo !== undefined) {
    totals.skipped += 1;
    return;
  }
  totals.passed += 1;
  process.stdout.write(`✓ ${where(data.file)}: ${data.name}  ${Math.round(data.details.duration_ms)} ms\n`);
}

function countFailure(data: TestFail, totals: Totals): void {
  const { error, type } = data.details;
  if (isFileItself(data)) {
    // Its own tests have been counted; what is left is a crash, a leak or a time limit of the whole file.
    if (error.message.includes('subtest')) return;
    tellFailure(`${where(data.file)}: its process crashed, or did not end (${error.message})`, totals);
    process.stdout.write(`  again: npm test -- ${where(data.file)}\n`);
    return;
  }
  // A suite fails because a test in it failed: that one has been counted.
  if (type === 'suite' && error.message.includes('subtest')) return;
  tellFailure(`${where(data.file)}: ${data.name}`, totals);
  process.stdout.write(`${inspect(error.cause ?? error)}\n`);
  process.stdout.write(`  again: npm test -- ${where(data.file)} -t '${data.name.replaceAll("'", '.')}'\n`);
}

function tellFailure(headline: string, totals: Totals): void {
  totals.failed.push(headline);
  process.stdout.write(`✗ ${headline}\n`);
}

const where = (file: string | undefined): string => (file === undefined ? '?' : relative(rootDir, file));

// Each test file is a process of its own and reads much of the project: its code is stripped of types and compiled once.
process.env['NODE_COMPILE_CACHE'] ??= `${process.env['MUSTER_CACHE'] ?? `${rootDir}/.cache`}/compiled`;
process.exitCode = await main(process.argv.slice(2));
