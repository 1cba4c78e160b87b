// npm run simulate -- [--seeds N] [--first N] [--boards N] [--fault NAME] [--seed N --trace]
//
// Runs seed after seed, prints each that breaks a promise with the command that shows its story, and ends with figures.
import { parseArgs } from 'node:util';
import { faults } from './faults.ts';
import { runSimulation, type Run } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    first: { type: 'string', default: '1' },
    boards: { type: 'string' },
    fault: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});

function count(text: string, what: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Error(`cannot read ${what} ${text}: want a whole number above 0`);
  return number;
}

const first = count(values.seed ?? values.first, 'seed');
const seeds = values.seed === undefined ? count(values.seeds, 'number of seeds') : 1;
if (values.fault !== undefined && faults[values.fault] === undefined)
  throw new Error(`there is no fault ${JSON.stringify(values.fault)}, want one of: ${Object.keys(faults).join(', ')}`);

const startedAt = performance.now();
const failed: Run[] = [];
const byFault = new Map<string, number>();
let simulatedMs = 0;
let permitsRead = 0;
let agents = 0;
for (let seed = first; seed < first + seeds; seed++) {
  const run = await runSimulation({
    seed,
    ...(values.boards === undefined ? {} : { boards: count(values.boards, 'number of boards') }),
    ...(values.fault === undefined ? {} : { fault: values.fault }),
    ...(values.trace ? { onLine: (line: string) => console.log(line) } : {}),
  });
  simulatedMs += run.simulatedMs;
  permitsRead += run.counts.permitsRead;
  agents += run.boards;
  byFault.set(run.fault, (byFault.get(run.fault) ?? 0) + 1);
  if (run.violations.length > 0) {
    failed.push(run);
    const more = values.boards === undefined ? '' : ` --boards ${values.boards}`;
    console.log(`seed ${seed}, ${run.fault}, ${run.boards} boards:\n  ${run.violations.join('\n  ')}`);
    console.log(
      `  again: npm run simulate -- --seed ${seed}${more}${values.fault === undefined ? '' : ` --fault '${values.fault}'`} --trace`,
    );
  }
  if (values.seed !== undefined) console.log(`${run.fingerprint}, ${JSON.stringify(run.counts)}`);
}
const seconds = (performance.now() - startedAt) / 1_000;
for (const [fault, runs] of [...byFault].toSorted((a, b) => b[1] - a[1]))
  console.log(`${String(runs).padStart(6)}  ${fault}`);
console.log(
  `${seeds} seeds from ${first}, ${agents} agents, ${(simulatedMs / 3_600_000).toFixed(1)} simulated hours, ${permitsRead} permits read, ` +
    `${seconds.toFixed(1)} s (${(seeds / seconds).toFixed(1)} seeds a second): ${failed.length} broke a promise`,
);
process.exitCode = failed.length > 0 ? 1 : 0;
