import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openLocalTables } from './local-tables.ts';

const directory = await mkdtemp(join(tmpdir(), 'muster-tables-'));
after(() => rm(directory, { recursive: true }));
let count = 0;
const newFile = () => join(directory, `${++count}.sqlite`);
const silent = { onEvent: () => {} };

test('events: the newest, those after one, those about a subject; numbers go on after a restart', async () => {
  const file = newFile();
  const told: number[] = [];
  {
    await using tables = await openLocalTables(file, { onEvent: ({ id }) => told.push(id) });
    for (let i = 1; i <= 6; i++) tables.addEvent({ at: i, kind: 'node', subject: i % 2 ? 'a' : 'b', message: `m${i}` });
    const ids = async (wanted: Parameters<typeof tables.events>[0]) =>
      (await tables.events(wanted)).map(({ id }) => id);
    assert.deepEqual(await ids({ limit: 2 }), [5, 6]);
    assert.deepEqual(await ids({ after: 2, limit: 2 }), [3, 4]);
    assert.deepEqual(await ids({ limit: 2, subject: 'a' }), [3, 5]);
    assert.deepEqual(await ids({ after: 6, limit: 2 }), []);
    assert.deepEqual(told, [1, 2, 3, 4, 5, 6]);
  }
  await using tables = await openLocalTables(file, silent);
  tables.addEvent({ at: 7, kind: 'node', subject: 'a', message: 'x'.repeat(9_999) });
  const [last] = await tables.events({ limit: 1 });
  assert.equal(last?.id, 7);
  assert.equal(last.message.length, 2_000);
});

test('logs: the last lines of a customer, a workload, an instance; a chatty instance pushes out its own lines only', async () => {
  await using tables = await openLocalTables(newFile(), silent);
  tables.addLogs([line('web/web-00000001', 'quiet'), line('job/job-00000002', 'also quiet')]);
  for (let i = 0; i < 6; i++) {
    tables.addLogs(Array.from({ length: 500 }, (_, j) => line('web/web-00000003', `${i * 500 + j}`)));
    await tables.logs({ customer: 'acme', tail: 1 });
  }
  const texts = async (wanted: object) =>
    (await tables.logs({ customer: 'acme', tail: 5_000, ...wanted })).lines.map(({ text }) => text);
  assert.deepEqual(await texts({ workload: 'job' }), ['also quiet']);
  assert.deepEqual(await texts({ workload: 'web', instance: 'web-00000001' }), ['quiet']);
  assert.deepEqual(await texts({ tail: 2 }), ['2998', '2999']);
  assert.ok((await texts({ instance: 'web-00000003' })).length <= 1_500);
  assert.deepEqual(await tables.logs({ customer: 'bolt', tail: 5 }), { lines: [], before: null, last: 3_002 });
});

test('logs and events: an answer holds about a megabyte, and says where the older lines go on', async () => {
  await using tables = await openLocalTables(newFile(), silent);
  const texts = Array.from({ length: 600 }, (_, i) => `${i} `.padEnd(4_096, 'x'));
  tables.addLogs(texts.map((text) => line('web/web-00000001', text)));
  const pages = [];
  for (let before: number | null | undefined; before !== null;) {
    const page = await tables.logs({ customer: 'acme', tail: 5_000, ...(before === undefined ? {} : { before }) });
    assert.ok(JSON.stringify(page).length < 1.2 * 2 ** 20);
    pages.unshift(page.lines.map(({ text }) => text));
    before = page.before;
  }
  assert.ok(pages.length > 2);
  assert.deepEqual(pages.flat(), texts);
  for (let i = 0; i < 1_000; i++)
    tables.addEvent({ at: i, kind: 'node', subject: 'a', message: `${i} `.padEnd(2_000, 'x') });
  const newest = await tables.events({ limit: 1_000 });
  assert.ok(newest.length < 600 && newest.at(-1)?.message.startsWith('999 '), `${newest.length} events`);
  const oldest = await tables.events({ after: 0, limit: 1_000 });
  assert.ok(oldest.length < 600 && oldest[0]?.message.startsWith('0 '), `${oldest.length} events`);
});

test('samples: the latest of each node, also after a restart, until it is forgotten', async () => {
  const file = newFile();
  const sample = {
    cpu: 0.5,
    cpuPerCore: [0.5],
    memoryUsedBytes: 1,
    memoryTotalBytes: 2,
    temperatureCelsius: null,
    uptimeSeconds: 3,
    rxBytesPerSecond: 4,
    txBytesPerSecond: 5,
    agentRssBytes: 6,
    permitThreadDelayMs: 7,
  };
  {
    await using tables = await openLocalTables(file, silent);
    tables.addSamples(new Map([['a', sample]]), 1);
    tables.addSamples(
      new Map([
        ['a', { ...sample, cpu: 1 }],
        ['b', sample],
      ]),
      2,
    );
    tables.forgetSample('b');
    assert.equal(tables.latestSample('a')?.cpu, 1);
  }
  await using tables = await openLocalTables(file, silent);
  assert.equal(tables.latestSample('a')?.cpu, 1);
  assert.equal(tables.latestSample('b'), undefined);
});

test('writers outrun the disk: the queue stays bounded, and what was lost is told', async () => {
  await using tables = await openLocalTables(newFile(), silent);
  for (let i = 0; i < 25_000; i++) tables.addEvent({ at: i, kind: 'node', subject: 'a', message: '' });
  await tables.events({ limit: 1 });
  const [last] = await tables.events({ limit: 1 });
  assert.match(last?.message ?? '', /^5000 events and log lines were lost/);
});

/** Of `acme`, by workload and instance: `web/web-1`. */
function line(of: `${string}/${string}`, text: string) {
  const [workload = '', instance = ''] = of.split('/');
  return { at: 1, customer: 'acme', workload, instance, stream: 'stdout', text } as const;
}
