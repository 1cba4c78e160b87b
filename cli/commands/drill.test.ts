// The drill commands against a small peer that checks requests by the controller's schemas, over real HTTP.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Drill, DrillRequest, DrillSchedule } from '../../protocol/api/drills.ts';
import { findCommand, parseCall, UsageError } from '../command.ts';
import { drillCommands, faultArguments } from './drill.ts';
import { listening, muster as run, now, status, strictApp, type Where } from './peer.fixture.ts';
import { runFaults } from '../process.ts';
import { hostSuite } from '../../test/faults/faults-host.ts';
import { qemuSuite } from '../../test/faults/faults-qemu.ts';

const begun: Drill = {
  number: 3,
  customer: 'canary',
  by: 'root',
  startedAt: now - 60_000,
  endedAt: null,
  phase: 'deploying',
  outcome: null,
  problem: '',
  order: null,
  drawn: 2,
  leftOut: [],
  nodes: 0,
  stopped: 0,
  medianMs: null,
  slowestMs: null,
  unacknowledged: [],
};
const passed: Drill = {
  ...begun,
  endedAt: now,
  phase: 'done',
  outcome: 'passed',
  order: 7,
  nodes: 2,
  stopped: 2,
  medianMs: 90,
  slowestMs: 143,
};
const late: Drill = {
  ...passed,
  outcome: 'late',
  problem: '1 of 2 nodes did not acknowledge within 10 s; the bound is 5 s',
  stopped: 1,
  unacknowledged: ['node-b'],
  leftOut: ['node-c: no \u001b[31mloop'],
};

/** `answers`: to `GET /v1/drills/3`, one after the other; the last stays, an empty one hangs up. */
async function peer(answers: (Drill | undefined)[] = [passed], drills = [late]) {
  const { app, requests } = strictApp();
  const nextAt = now + 3_600_000;
  app.post<{ Body: DrillRequest }>('/v1/drills', { schema: { body: DrillRequest } }, (request, reply) =>
    request.body.customer === 'acme'
      ? reply.status(409).send({ error: 'acme has workloads (web): a drill kills its customer' })
      : reply.status(202).send(begun),
  );
  app.get('/v1/drills/:number', (_request, reply) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer !== undefined) return reply.send(answer);
    reply.hijack();
    reply.raw.destroy();
    return reply;
  });
  const schedule = { everySeconds: 30 * 86_400, request: { share: 0.1 }, nextAt };
  app.get('/v1/drills', () => ({ drills, schedule: drills.length === 0 ? null : schedule }));
  app.get('/v1/status', () => ({ ...status, lastDrill: drills[0] ?? null }));
  app.put<{ Body: DrillSchedule }>('/v1/drills/schedule', { schema: { body: DrillSchedule } }, ({ body }) => ({
    ...body,
    nextAt,
  }));
  app.delete('/v1/drills/schedule', () => ({}));
  return { requests, ...(await listening(app)) };
}

/** Nobody waits between two questions. */
const muster = (line: string, where: Where) => run(line, { sleep: () => Promise.resolve(), ...where });

test('muster drill: follows the drill to its end, exit code 0 where it passed', async () => {
  const answers: Drill[] = [
    { ...begun, nodes: 1 },
    { ...begun, phase: 'killing', order: 7, nodes: 2, stopped: 1, medianMs: 90, slowestMs: 90 },
    { ...passed, phase: 'removing', outcome: null },
    passed,
  ];
  await using there = await peer(answers);
  const { code, out, err } = await muster('drill --share 10% --customer bird --image web', there);
  assert.equal(code, 0, err);
  assert.deepEqual(there.requests[0], {
    line: 'POST /v1/drills',
    body: { customer: 'bird', share: 0.1, image: 'web' },
  });
  assert.equal(
    err,
    'drill 3: 0/2 nodes run the canary\ndrill 3: 1/2 nodes run the canary\n' +
      'drill 3: 1/2 stopped, median 90 ms, slowest 90 ms\ndrill 3: the canary is removed\n',
  );
  assert.equal(
    out,
    'drill 3 passed: 2/2 stopped, median 90 ms, slowest 143 ms\n' +
      'canary was started by root, 2027-01-15 07:59:00 UTC (muster kill show 7)\n',
  );
});

test('muster drill: names those that did not acknowledge, exit code 1', async () => {
  await using there = await peer([late]);
  const { code, out, err } = await muster('drill', there);
  assert.deepEqual([code, out], [1, '']);
  assert.match(
    err,
    /drill 3 late: 1\/2 stopped.*\n1 of 2 nodes.*\nunacknowledged:\n {2}node-b\nnot measured:\n {2}node-c/,
  );
  assert.ok(!err.includes('\u001b'));
  const json = await muster('drill --json', there);
  assert.deepEqual([json.code, JSON.parse(json.out), json.err], [1, late, '']);
});

test('muster drill: asks again where a controller does not answer for a while, and gives up after a minute', async () => {
  await using there = await peer([undefined, undefined, passed]);
  assert.equal((await muster('drill', there)).code, 0);
  await using gone = await peer([undefined]);
  let clockMs = 0;
  const clock = { monotonic: () => clockMs, sleep: (ms: number) => Promise.resolve(void (clockMs += ms)) };
  const { code, err } = await muster('drill', { ...gone, ...clock });
  assert.equal(code, 1);
  assert.match(err, /cannot reach a controller/);
  assert.ok(clockMs > 60_000 && clockMs < 62_000, String(clockMs));
});

test('muster drill: --no-wait, --every and --every off', async () => {
  await using there = await peer();
  assert.match((await muster('drill --no-wait', there)).out, /^drill 3 runs on 2 nodes: muster drill show 3\n$/);
  const planned = await muster('drill --every 30d --share 0.5', there);
  assert.equal(planned.out, 'a drill every 30 d (50% of the nodes), the next one 2027-01-15 09:00:00 UTC\n');
  assert.match((await muster('drill --every off', there)).out, /no drills by themselves any more/);
  assert.deepEqual(
    there.requests.filter(({ line }) => !line.startsWith('GET')),
    [
      { line: 'POST /v1/drills', body: {} },
      { line: 'PUT /v1/drills/schedule', body: { everySeconds: 30 * 86_400, request: { share: 0.5 } } },
      { line: 'DELETE /v1/drills/schedule', body: undefined },
    ],
  );
});

test('muster drill: interrupted, says that the drill goes on', async () => {
  await using there = await peer([begun]);
  const stop = new AbortController();
  const waits = (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal });
  const running = muster('drill', { ...there, signal: stop.signal, sleep: waits });
  while (there.requests.length < 2) await sleep(5);
  stop.abort();
  const { code, err } = await running;
  assert.equal(code, 130);
  assert.match(err, /drill 3 goes on: muster drill show 3/);
});

test('muster drill: a refusal is the sentence of the controller', async () => {
  await using there = await peer();
  const { code, err } = await muster('drill --customer acme', there);
  assert.deepEqual([code, err], [1, 'muster: acme has workloads (web): a drill kills its customer\n']);
});

test('muster drill: wrong usage is exit code 2 and asks nobody', async () => {
  await using there = await peer();
  for (const line of [
    'drill canary',
    'drill --share 0',
    'drill --share 101%',
    'drill --share some',
    'drill --every 5m',
    'drill --every 400d',
    'drill --every often',
    'drill --runs 3',
    'drill --only 3',
    'drill --faults --share 10%',
    'drill --faults --every 30d',
    'drill show',
    'drill show three',
  ]) {
    const { code, err } = await muster(line, there);
    assert.equal(code, 2, line);
    assert.match(err, /^muster: .*\n$/, line);
  }
  assert.deepEqual(there.requests, []);
});

test('muster drills lists them and says when the next is due', async () => {
  await using there = await peer();
  const { out } = await muster('drills', there);
  assert.match(out, /^DRILL +OUTCOME.*\n +3 +late +2027-01-15 07:59:00 +root +1\/2 +90 ms +143 ms +1 of 2 nodes/);
  assert.match(out, /\na drill every 30 d \(10% of the nodes\), the next one 2027-01-15 09:00:00 UTC\n$/);
  assert.equal(JSON.parse((await muster('drills --json', there)).out).drills.length, 1);
  await using none = await peer([], []);
  const empty = await muster('drills', none);
  assert.equal(empty.out, 'there was no drill yet: muster drill\nnone is scheduled: muster drill --every 30d\n');
});

test('muster status tells when the last drill was, and what it measured', async () => {
  await using there = await peer([], [passed]);
  const { out } = await muster('status', there);
  assert.match(out, /\nlast drill +passed 0 ms ago: 2\/2 stopped, .*slowest 143 ms \(muster drill show 3\)\n/);
  await using none = await peer([], []);
  assert.match((await muster('status', none)).out, /\nlast drill +none yet \(muster drill\)\n/);
});

test('muster drill show tells it all', async () => {
  await using there = await peer();
  const { code, out } = await muster('drill show 3', there);
  assert.equal(code, 0);
  assert.match(out, /^drill 3 passed: 2\/2 stopped/);
  await using other = await peer([{ ...begun, nodes: 1 }]);
  assert.match((await muster('drill show 3', other)).out, /^drill 3: 1\/2 nodes run the canary\ncanary was started/);
});

describe('muster drill --faults', () => {
  const told = (line: string) => {
    const words = line.split(' ');
    const command = findCommand(drillCommands, words);
    assert.ok(command);
    return faultArguments(parseCall(command, words));
  };
  test('hands on how often, and which', () => {
    assert.deepEqual(told('drill --faults'), []);
    assert.deepEqual(told('drill --faults --runs 20 --only 3,7'), ['--runs', '20', '--only', '3,7']);
    for (const line of ['drill --faults --runs 0', 'drill --faults --runs x', 'drill --faults --only 3;7'])
      assert.throws(() => told(line), UsageError, line);
    for (const only of ['99', '0', '3,19'])
      assert.throws(() => told(`drill --faults --only ${only}`), /there are faults 1 to 18, and no (99|0|19)$/);
    const numbers = [hostSuite, qemuSuite].flatMap(({ faults }) => faults.map(({ number }) => String(number)));
    for (const number of numbers) assert.ok(told(`drill --faults --only ${number}`).includes(number));
    assert.equal(Math.max(...numbers.map(Number)), 18);
  });
  test('ends as the program ends, and says where it is missing', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'muster-faults-'));
    try {
      const program = join(directory, 'main.ts');
      await assert.rejects(runFaults([], program), /cannot run the table of faults: it is not at .*, want a checkout/);
      await writeFile(program, 'process.exitCode = Number(process.argv[3]);\n');
      assert.equal(await runFaults(['--runs', '7'], program), 7);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
