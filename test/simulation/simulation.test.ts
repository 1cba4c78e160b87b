// Some dozens of seeds of the simulation, always the same ones; `npm run simulate -- --seeds 5000` runs more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faults } from './faults.ts';
import { leashNumbers } from './leash-numbers.ts';
import { runSimulation, type Run, type RunOptions } from './simulation.ts';

const seeds = 30;

async function run(options: RunOptions): Promise<Run> {
  const done = await runSimulation(options);
  const again = `npm run simulate -- --seed ${options.seed}${options.boards === undefined ? '' : ` --boards ${options.boards}`}`;
  const fault = options.fault === undefined ? '' : ` --fault '${options.fault}'`;
  assert.deepEqual(done.violations, [], `${done.fault}, ${done.boards} boards; again: ${again}${fault} --trace`);
  return done;
}

test(`${seeds} racks, one thing fails in each, and no promise is broken`, async () => {
  const startedAt = performance.now();
  const runs: Run[] = [];
  for (let seed = 1; seed <= seeds; seed++) runs.push(await run({ seed }));
  const seconds = (performance.now() - startedAt) / 1_000;
  const simulatedSeconds = runs.reduce((sum, { simulatedMs }) => sum + simulatedMs, 0) / 1_000;
  console.log(`${(seeds / seconds).toFixed(1)} seeds a second, ${simulatedSeconds.toFixed(0)} simulated seconds`);
  // A check that never looked proves nothing.
  const counted = (what: keyof Run['counts']) => runs.reduce((sum, { counts }) => sum + counts[what], 0);
  for (const what of ['receipts', 'silences', 'starts', 'stops', 'permitsRead', 'checks'] as const)
    assert.ok(counted(what) >= seeds, `${what}: ${counted(what)}`);
});

for (const fault of Object.keys(faults))
  test(`fails: ${fault}`, async () => void (await run({ seed: 1, fault, boards: 6 })));

test('120 agents, a switch fails', async () => void (await run({ seed: 7, fault: 'a cut switch', boards: 120 })));

test('the same seed tells the same story, another one another', async () => {
  const stories = await Promise.all([
    runSimulation({ seed: 76 }),
    runSimulation({ seed: 77 }),
    runSimulation({ seed: 76 }),
  ]);
  const [first, other, again] = stories.map(({ fingerprint }) => fingerprint);
  assert.equal(again, first);
  assert.notEqual(other, first);
});

// Each of these once broke a promise.
const regressions: [what: string, options: RunOptions][] = [
  ['a held customer runs on where its instance was moved away', { seed: 331 }],
  ['a held customer runs on where its instance was moved away, on three boards', { seed: 370 }],
  ['an overtaken desired state removes who may run', { seed: 129 }],
  ['a lift while a process hangs in the kernel', { seed: 531 }],
  ['a held customer is vouched for by the step that stops it', { seed: 333 }],
  ['a container starts on a board without power', { seed: 149 }],
];
for (const [what, options] of regressions) test(`once broken: ${what}`, async () => void (await run(options)));

async function violations(options: Omit<RunOptions, 'seed'>, among = 4): Promise<string> {
  const found: string[] = [];
  for (let seed = 1; seed <= among; seed++)
    found.push(...(await runSimulation({ boards: 8, ...options, seed })).violations);
  return found.join('\n');
}

test('broken: an agent that counts a permit from later than its nonce', async () =>
  assert.match(
    await violations({ fault: 'boards hear nothing', broken: { countsLateMs: 3_000 } }),
    /5: board \d+ vouches/,
  ));

test('broken: a leash that sweeps too seldom', async () => {
  const leash = { ...leashNumbers(), readWaitMs: 4_000, watchdogMs: 60_000 };
  assert.match(await violations({ fault: 'agents are frozen', leash }, 8), /3: .* by silence, \w+ runs/);
});

test('broken: a kill that takes 6 s, on boards that nothing resets', async () => {
  const leash = { ...leashNumbers(), patientLooks: Infinity };
  assert.match(await violations({ fault: 'nothing', broken: { killMs: 6_000 }, leash }), /1: \w+ runs on board/);
});

test('broken: a leash that accepts too little', async () =>
  assert.match(await violations({ fault: 'nothing', leash: { ...leashNumbers(), clampMs: 500 } }), /2: leash stops/));

test('broken: a receipt before the processes are gone', async () =>
  assert.match(await violations({ fault: 'nothing', broken: { receiptsAtOnce: true } }), /3: .* by receipt, \w+ runs/));

test('broken: a controller that takes what it does not hear for silence', async () =>
  assert.match(
    await violations({ fault: 'boards hear nothing', broken: { heardEarlierMs: 4_000 } }),
    /3: .* by silence, \w+ runs/,
  ));

test('broken: a permit for whom an order stops', async () =>
  assert.match(await violations({ fault: 'nothing', broken: { permitsKilled: true } }), /1: a permit for .* lists/));
