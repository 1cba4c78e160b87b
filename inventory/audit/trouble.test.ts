// An audit log that cannot be written stops nobody, is said once, and loses nothing that a document keeps.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { AuditLog } from './audit.ts';
import { type Inventory, openInventoryOn } from '../inventory.ts';
import { openLocalTables } from '../samples/local-tables.ts';
import { openSqliteStore } from '../store/sqlite-store.ts';
import { editDatabase, macOf } from '../rack.fixture.ts';

const [near, far] = [macOf(1), macOf(2)];
const silence = { evidence: 'silence', evidenceAfterMs: 4_000, stoppedAfterMs: null, processes: 0 } as const;

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-audit-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

/** The log in a directory of its own, which need not be there. */
function open(directory: string, said: string[]): Promise<Inventory> {
  return openInventoryOn({
    openStore: () => openSqliteStore(join(directory, 'inventory.sqlite')),
    openTables: (onEvent) => openLocalTables(join(directory, 'local.sqlite'), { onEvent }),
    openAudit: (options) => new AuditLog({ file: join(directory, 'log', 'audit.sqlite'), ...options }),
    now: Date.now,
    random: randomBytes,
    log: (message) => said.push(message),
  });
}

async function kinds(inventory: Inventory): Promise<string[]> {
  const entries = await inventory.audit.entries({ after: 0, limit: 1_000 });
  return entries.map(({ kind, subject, body }) => `${kind} ${subject}${body.includes('"late":true') ? ' late' : ''}`);
}

test('a process that ended between a change and its entry: the next one writes it, and marks it as late', async (t) => {
  const directory = await scratch(t);
  const said: string[] = [];
  {
    await using inventory = await open(directory, said);
    await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'ada', targets: [near, far] });
    await inventory.orders.saveReceipt({ number: 1, mac: near, receipt: silence });
    await inventory.orders.addEscalationStep({
      number: 1,
      mac: far,
      step: { afterMs: 5_000, by: 'ssh', outcome: 'failed', detail: 'no route' },
    });
    await inventory.nodes.bootStage({ mac: near, stage: 'dhcp-discover', firmware: 'uboot' });
    await inventory.nodes.patch(near, { fenced: true, by: 'ada' });
    await assert.rejects(inventory.audit.verify(), /cannot read .*audit\.sqlite/);
  }
  assert.match(
    said[0] ?? '',
    /^the audit log cannot be written, \d entries wait in memory: cannot open .*: it cannot be/,
  );
  assert.match(said[1] ?? '', /^4 entries of the audit log were not written; the next start writes those/);
  assert.equal(said.length, 2);
  await mkdir(join(directory, 'log'));
  const late = ['order 1 late', 'receipt 1 late', 'escalation 1 late', `fence ${near} late`];
  {
    await using inventory = await open(directory, said);
    assert.deepEqual(await kinds(inventory), late);
    assert.deepEqual((await inventory.audit.verify()).problems, []);
    await inventory.orders.lift({ scope: '*', reason: 'out', by: 'ben' });
    assert.deepEqual(await kinds(inventory), [...late, 'lift 1']);
  }
  await using inventory = await open(directory, said);
  assert.deepEqual(await kinds(inventory), [...late, 'lift 1'], 'nothing is written twice');
  const verdict = await inventory.audit.verify();
  assert.deepEqual([verdict.problems, verdict.late], [[], 4]);
  assert.equal(said.length, 2);
});

test('an end that was cut off is not papered over by the next start', async (t) => {
  const directory = await scratch(t);
  await mkdir(join(directory, 'log'));
  const file = join(directory, 'log', 'audit.sqlite');
  const said: string[] = [];
  {
    await using inventory = await open(directory, said);
    await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'ada', targets: [near] });
    await inventory.orders.saveReceipt({ number: 1, mac: near, receipt: silence });
  }
  await editDatabase(file, 'DROP TRIGGER entries_remain', 'DELETE FROM entries WHERE sequence = 2');
  await using inventory = await open(directory, said);
  await inventory.orders.kill({ scope: '*', reason: 'again', by: 'ada', targets: [] });
  assert.deepEqual(await kinds(inventory), ['order 1']);
  assert.deepEqual((await inventory.audit.verify()).problems, [`no entry tells of the receipt of ${near} for order 1`]);
});

test('a log that cannot be written for long: documents fill the gap, and what nothing else keeps is counted', async (t) => {
  const directory = await scratch(t);
  const said: string[] = [];
  await using inventory = await open(directory, said);
  for (let i = 0; i < 20_003; i++) inventory.audit.append({ kind: 'drill', subject: String(i), body: {} });
  await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'ada', targets: [near] });
  await inventory.orders.saveReceipt({ number: 1, mac: near, receipt: silence });
  await assert.rejects(inventory.audit.entries({ limit: 1 }));
  await mkdir(join(directory, 'log'));
  let end: string[] = [];
  while (!end.includes('gap audit')) {
    await wait(50);
    end = (await inventory.audit.entries({ limit: 2 }).catch(() => [])).map(
      ({ kind, subject }) => `${kind} ${subject}`,
    );
  }
  assert.deepEqual(end, ['drill 19999', 'gap audit']);
  assert.deepEqual((await kinds(inventory)).slice(0, 3), ['order 1 late', 'receipt 1 late', 'drill 0']);
  const verdict = await inventory.audit.verify();
  assert.deepEqual([verdict.problems, verdict.entries, verdict.late], [[], 20_003, 2]);
  const [gap] = (await inventory.audit.entries({ limit: 5 })).filter(({ kind }) => kind === 'gap');
  assert.match(gap?.body ?? '', /"lost":3/);
  assert.equal(said.length, 2, said.join('\n'));
});

test('a file that is no database: the controller runs, the file stays as it is', async (t) => {
  const directory = await scratch(t);
  await mkdir(join(directory, 'log'));
  await writeFile(join(directory, 'log', 'audit.sqlite'), 'x'.repeat(5_000));
  const said: string[] = [];
  await using inventory = await open(directory, said);
  assert.ok(!('refused' in (await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'ada', targets: [] }))));
  await assert.rejects(inventory.audit.entries({ limit: 1 }), /cannot read/);
  assert.match(said[0] ?? '', /it is no SQLite database/);
});
