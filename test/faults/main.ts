// node test/faults/main.ts: does every fault of the list to a rack, one at a time, kills a customer meanwhile, measures how
// long its processes lived, and prints the table. Needs root.
//
//   --runs 20              so many runs of each
//   --only 3,7             only the faults of these numbers
//   --titled cable         only those whose title holds this text, as progress shows it
//   --where host|qemu      only agents in namespaces of this machine, or only boards in QEMU
//   --json FILE            the results go there (default: artefacts/faults/results.json); those of other faults stay in it
//   --write                writes docs/GUARANTEE.md's table from test/faults/results/*.json; with --runs 0 does nothing else
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Check } from 'typebox/value';
import { errorChain } from '../../protocol/error-chain.ts';
import { median } from '../bench/figure.ts';
import { measurementOf, Results, titleOf, type FaultSuite, type Measurement, type Run } from './fault.ts';
import { hostSuite } from './faults-host.ts';
import { qemuSuite } from './faults-qemu.ts';
import { faultsTable, latest, withTable, worst } from './table.ts';

const rootDir = fileURLToPath(new URL('../..', import.meta.url));
const page = join(rootDir, 'docs/GUARANTEE.md');
const suites: readonly FaultSuite[] = [hostSuite, qemuSuite];

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '20' },
    only: { type: 'string' },
    titled: { type: 'string', default: '' },
    where: { type: 'string' },
    json: { type: 'string', default: join(rootDir, 'artefacts/faults/results.json') },
    write: { type: 'boolean', default: false },
  },
});
const runs = Number(values.runs);
const only = values.only?.split(',').map(Number);
if (!Number.isInteger(runs) || runs < 0 || only?.some((number) => !Number.isInteger(number)) === true)
  throw new Error(
    'usage: node test/faults/main.ts [--runs 20] [--only 3,7] [--titled TEXT] [--where host|qemu] [--json FILE] [--write]',
  );

const known = suites.flatMap(({ faults }) => faults.map(({ number }) => number));
const unknown = only?.filter((number) => !known.includes(number)) ?? [];
if (unknown.length > 0) {
  process.stderr.write(
    `muster: there is no fault ${unknown.join(', ')}: there are faults ${Math.min(...known)} to ${Math.max(...known)}\n`,
  );
  process.exit(2);
}

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(`got ${name}`)));

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores`;
const measured: Measurement[] = [];
const before = existsSync(values.json) ? resultsIn(values.json) : [];
let failures = 0;

for (const suite of suites) {
  const faults = suite.faults.filter(
    (fault) => (only === undefined || only.includes(fault.number)) && titleOf(fault).includes(values.titled),
  );
  if (runs === 0 || faults.length === 0 || (values.where !== undefined && values.where !== suite.where)) continue;
  print(`${suite.where}: ${faults.length} faults, ${runs} runs of each`);
  await using rack = await suite.open({ print });
  for (const fault of faults) {
    const done: Run[] = [];
    for (let run = 1; run <= runs && !stop.signal.aborted; run++) {
      const startedMs = performance.now();
      try {
        done.push(await rack.run(fault));
        const took = ((performance.now() - startedMs) / 1000).toFixed(1);
        const { gone = [], starvedMs = 0 } = done.at(-1) ?? {};
        const starved = starvedMs === 0 ? '' : `; this machine paused for ${Math.round(starvedMs)} ms`;
        print(
          `${titleOf(fault)} ${run}/${runs}: gone after ${gone.map(Math.round).join(' ')} ms  (${took} s${starved})`,
        );
      } catch (error) {
        failures++;
        print(`✗ ${titleOf(fault)} ${run}/${runs}: ${errorChain(error)}`);
      }
    }
    if (done.length === 0) continue;
    const measurement = measurementOf(fault, { runs: done, machine, at: new Date().toISOString() });
    measured.push(measurement);
    // After each fault: an hour's work must not hang on the last one.
    mkdirSync(dirname(values.json), { recursive: true });
    writeFileSync(values.json, `${JSON.stringify(latest([...before, ...measured]), undefined, 1)}\n`);
    if (worst(measurement.gone) > fault.boundMs) {
      failures++;
      print(`✗ ${titleOf(fault)}: worst ${worst(measurement.gone)} ms, want ${fault.boundMs}`);
    } else
      print(
        `✓ ${titleOf(fault)}: median ${Math.round(median(measurement.gone))} ms, worst ${worst(measurement.gone)} ms`,
      );
  }
}
if (measured.length > 0) print(`\n${faultsTable(measured)}\n\n${machine}; ${values.json}`);
if (values.write) {
  const files = globSync(join(rootDir, 'test/faults/results/*.json')).toSorted();
  const kept = files.flatMap((file) => resultsIn(file));
  writeFileSync(page, withTable(readFileSync(page, 'utf8'), faultsTable(kept)));
  print(`${page}: ${kept.length} measurements from ${files.length} files`);
}
process.exitCode = failures > 0 || stop.signal.aborted ? 1 : 0;

function resultsIn(file: string): Measurement[] {
  const results: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!Check(Results, results)) throw new Error(`cannot use ${file}: it does not hold measurements`);
  return results;
}
