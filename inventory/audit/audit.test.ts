// The audit log of a real inventory, and what is found when somebody changes its file.
import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AuditEntry, AuditVerdict } from '../../protocol/api/audit.ts';
import { auditHash, ChainCheck, chainStart } from '../../protocol/records/audit.ts';
import type { Mac } from '../../protocol/mac.ts';
import { testHeartbeat } from '../../protocol/heartbeat.fixture.ts';
import { encodeHeartbeat } from '../../protocol/roll-call.ts';
import type { Inventory } from '../inventory.ts';
import { editDatabase, macOf, rejoin, testImage, testRack, type TestRack } from '../rack.fixture.ts';

const dropTriggers = ['entries_follow', 'entries_stay', 'entries_remain', 'keys_stay', 'keys_remain']
  .map((name) => `DROP TRIGGER ${name}`)
  .join(';');

interface Joined {
  mac: Mac;
  session: string;
  key: string;
}

async function joined(rack: TestRack, number: number): Promise<Joined> {
  return { mac: macOf(number), ...(await rack.ready(macOf(number))) };
}

/** A heartbeat with the node's receipt, as it stands on the wire. */
function datagram(
  { session, key }: Joined,
  { order, stoppedAfterMs, processes }: typeof said & { order: number },
): Buffer {
  return encodeHeartbeat(
    testHeartbeat({
      session: Buffer.from(session, 'hex'),
      receipts: [{ order: BigInt(order), stoppedAfterMs, processes }],
    }),
    Buffer.from(key, 'hex'),
  );
}

const said = { stoppedAfterMs: 12, processes: 3 };

async function acknowledge(inventory: Inventory, { node, order }: { node: Joined; order: number }): Promise<void> {
  const facts = { evidence: 'receipt', evidenceAfterMs: 40.5, ...said } as const;
  await inventory.orders.saveReceipt({
    number: order,
    mac: node.mac,
    receipt: facts,
    heartbeat: { session: node.session, datagram: datagram(node, { order, ...said }) },
  });
}

/** Two orders, one lifted, with receipts of every kind, a step of an escalation and a fence. */
async function eventful(rack: TestRack): Promise<void> {
  const { inventory } = rack;
  const [a, b, c] = [await joined(rack, 1), await joined(rack, 2), await joined(rack, 3)];
  await inventory.customers.add({ name: 'acme' });
  await inventory.orders.kill({ scope: 'acme', reason: 'a miner — “x”', by: 'ada', targets: [a.mac, b.mac, c.mac] });
  inventory.orders.permitSent({ number: 1, mac: a.mac, afterMs: 1.5 });
  await acknowledge(inventory, { node: a, order: 1 });
  await inventory.orders.addEscalationStep({
    number: 1,
    mac: b.mac,
    step: { afterMs: 5_000, by: 'ssh', outcome: 'stopped', detail: 'emptied' },
  });
  await inventory.orders.saveReceipt({
    number: 1,
    mac: b.mac,
    receipt: {
      evidence: 'ssh',
      evidenceAfterMs: 5_400,
      stoppedAfterMs: null,
      processes: 0,
    },
  });
  await inventory.orders.saveReceipt({
    number: 1,
    mac: c.mac,
    receipt: {
      evidence: 'silence',
      evidenceAfterMs: 4_000,
      stoppedAfterMs: null,
      processes: 0,
    },
  });
  await inventory.orders.lift({ scope: 'acme', reason: 'paid', by: 'ben' });
  await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'ada', targets: [a.mac, b.mac] });
  await acknowledge(inventory, { node: b, order: 2 });
  await inventory.nodes.patch(c.mac, { fenced: true, by: 'ada' });
  inventory.audit.append({ kind: 'approval', subject: '1', body: { step: 'asked' } });
}

const eventfulKinds = [
  'order',
  'receipt',
  'escalation',
  'receipt',
  'receipt',
  'lift',
  'order',
  'receipt',
  'fence',
  'approval',
];

function whole(verdict: AuditVerdict, wanted: { entries: number; receipts: number }): void {
  const { problems, entries, receipts } = verdict;
  assert.deepEqual({ problems, entries, receipts }, { problems: [], ...wanted });
}

test('orders, lifts, receipts, steps and fences become entries of one chain, with what the node signed', async () => {
  await using rack = await testRack();
  await eventful(rack);
  const entries = await rack.inventory.audit.entries({ limit: 100 });
  assert.deepEqual(
    entries.map(({ kind }) => kind),
    eventfulKinds,
  );
  const bodies = entries.map(({ body }): unknown => JSON.parse(body));
  assert.deepEqual(bodies[0], {
    scope: 'acme',
    reason: 'a miner — “x”',
    by: 'ada',
    at: rack.now(),
    targets: [macOf(1), macOf(2), macOf(3)],
  });
  const signed = JSON.stringify(bodies[1]);
  assert.match(
    signed,
    /"evidence":"receipt","sentAfterMs":1\.5,"stoppedAfterMs":12,"evidenceAfterMs":40\.5,"processes":3/,
  );
  assert.match(signed, /"session":"[0-9a-f]{32}","datagram":"[A-Za-z0-9+/]{100,}=*"/);
  assert.deepEqual(bodies[8], { fenced: true, by: 'ada' });
  assert.deepEqual(
    (await rack.inventory.audit.entries({ after: 3, limit: 2 })).map(({ sequence }) => sequence),
    [4, 5],
  );
  assert.deepEqual(
    (await rack.inventory.audit.entries({ limit: 2 })).map(({ sequence }) => sequence),
    [9, 10],
  );

  const chain = new ChainCheck();
  assert.deepEqual(
    entries.flatMap((entry) => chain.add(entry)),
    [],
  );
  const verdict = await rack.inventory.audit.verify();
  assert.equal(verdict.head, chain.head);
  whole(verdict, { entries: 10, receipts: 2 });
  assert.equal(verdict.late, 0);
});

test('the log goes on after a restart; a board that starts again leaves its old key for the old receipt', async () => {
  await using rack = await testRack();
  await eventful(rack);
  await rack.restart();
  whole(await rack.inventory.audit.verify(), { entries: 10, receipts: 2 });
  const again = await rack.ready(macOf(1), 'boot-2');
  await rack.restart();
  const back = await rack.join(macOf(1), rejoin(again, { mac: macOf(1), bootId: 'boot-2' }));
  assert.ok('session' in back);
  await acknowledge(rack.inventory, { node: { mac: macOf(1), session: back.session, key: back.key }, order: 2 });
  const verdict = await rack.inventory.audit.verify();
  whole(verdict, { entries: 11, receipts: 3 });
  assert.equal(verdict.late, 0);
});

test('orders that the inventory has forgotten stay in the log', async () => {
  await using rack = await testRack();
  const node = await joined(rack, 1);
  await rack.inventory.customers.add({ name: 'acme' });
  for (let i = 1; i <= 55; i++) {
    await rack.inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: [node.mac] });
    await acknowledge(rack.inventory, { node, order: i });
    await rack.inventory.orders.lift({ scope: 'acme', reason: '' });
  }
  assert.equal(rack.inventory.orders.get(1), undefined);
  whole(await rack.inventory.audit.verify(), { entries: 165, receipts: 55 });
  await rack.inventory.customers.remove('acme');
});

test('drills are in the log and compared as well; looking through all documents again adds nothing', async () => {
  await using rack = await testRack();
  await eventful(rack);
  await rack.inventory.orders.lift({ scope: '*', reason: '' });
  await rack.inventory.images.save(testImage('worker'));
  const { drills } = rack.inventory;
  const drill = await drills.begin(
    { customer: 'canary', spec: { image: 'worker', replicas: 1 }, nodes: [macOf(1)] },
    'ada',
  );
  assert.ok('number' in drill);
  await drills.advance(drill.number, { phase: 'done', outcome: 'passed' });
  whole(await rack.inventory.audit.verify(), { entries: 12, receipts: 2 });
  const file = join(rack.directory, 'audit.sqlite');
  await rack.inventory[Symbol.asyncDispose]();
  await editDatabase(file, `UPDATE facts SET value = 0`);
  await rack.restart();
  const verdict = await rack.inventory.audit.verify();
  whole(verdict, { entries: 12, receipts: 2 });
  assert.equal(verdict.late, 0);
  await rack.inventory.nodes.patch(macOf(3), { fenced: false });
  await rack.inventory[Symbol.asyncDispose]();
  await editDatabase(file, 'DROP TRIGGER entries_remain', 'DELETE FROM entries WHERE sequence >= 12');
  await rack.restart();
  assert.deepEqual((await rack.inventory.audit.verify()).problems, [`no entry tells of drill ${drill.number}`]);
});

test('a removed node is fenced no longer, and the log says so', async () => {
  await using rack = await testRack();
  await rack.ready(macOf(1));
  await rack.inventory.nodes.patch(macOf(1), { fenced: true, by: 'ada' });
  await rack.pass(40_000);
  await rack.inventory.nodes.remove(macOf(1));
  const bodies = (await rack.inventory.audit.entries({ limit: 9 })).map(({ body }): unknown => JSON.parse(body));
  assert.deepEqual(bodies, [
    { fenced: true, by: 'ada' },
    { fenced: false, by: null, removed: true },
  ]);
});

test('triggers refuse what is not appending', async () => {
  await using rack = await testRack();
  await eventful(rack);
  await rack.inventory[Symbol.asyncDispose]();
  const file = join(rack.directory, 'audit.sqlite');
  const table: [string, RegExp][] = [
    [`UPDATE entries SET body = '{}' WHERE sequence = 2`, /append-only/],
    ['DELETE FROM entries WHERE sequence = 10', /append-only/],
    [`UPDATE keys SET key = ''`, /append-only/],
    ['DELETE FROM keys', /append-only/],
    [`INSERT INTO entries VALUES (12, 1, 'drill', '1', '{}', '${chainStart}', '${chainStart}')`, /must follow/],
    [
      `INSERT OR REPLACE INTO entries SELECT 3, at, kind, subject, '{}', previous, hash FROM entries WHERE sequence = 3`,
      /must follow/,
    ],
    [
      `INSERT INTO entries SELECT 11, at, kind, subject, body, previous, hash FROM entries WHERE sequence = 10`,
      /must follow/,
    ],
  ];
  for (const [statement, refusal] of table) await assert.rejects(editDatabase(file, statement), refusal, statement);
});

/** Copies the log, changes the copy as an attacker would, and lets the same inventory judge it. */
class Forgery {
  readonly #rack: TestRack;
  readonly #kept: string;

  private constructor(rack: TestRack, kept: string) {
    this.#rack = rack;
    this.#kept = kept;
  }

  static async of(rack: TestRack, directory: string): Promise<Forgery> {
    await rack.inventory[Symbol.asyncDispose]();
    const kept = join(directory, 'kept.sqlite');
    await copyFile(join(rack.directory, 'audit.sqlite'), kept);
    return new Forgery(rack, kept);
  }

  async verdict(...statements: string[]): Promise<AuditVerdict & { chain: string[] }> {
    const file = join(this.#rack.directory, 'audit.sqlite');
    await copyFile(this.#kept, file);
    await editDatabase(file, dropTriggers, ...statements);
    await this.#rack.restart();
    try {
      const verdict = await this.#rack.inventory.audit.verify();
      const entries = await this.#rack.inventory.audit.entries({ after: 0, limit: 1_000 });
      const chain = new ChainCheck();
      return { ...verdict, chain: entries.flatMap((entry) => chain.add(entry)) };
    } finally {
      await this.#rack.inventory[Symbol.asyncDispose]();
    }
  }
}

test('whatever is changed, dropped, inserted or put elsewhere is found', { timeout: 300_000 }, async (t) => {
  const seed = Date.now() % 1_000_000_007;
  t.diagnostic(`seed ${seed}`);
  let state = seed;
  const below = (limit: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >>> 8) % limit;
  };
  const directory = await mkdtemp(join(tmpdir(), 'muster-audit-'));
  t.after(() => rm(directory, { recursive: true }));
  await using rack = await testRack();
  await eventful(rack);
  const entries = await rack.inventory.audit.entries({ limit: 100 });
  const head = entries.at(-1)?.hash;
  const forgery = await Forgery.of(rack, directory);
  whole(await forgery.verdict('SELECT 1'), { entries: entries.length, receipts: 2 });

  const columns = ['kind', 'subject', 'body', 'previous', 'hash'] as const;
  const row = () => 1 + below(entries.length);
  const entryAt = (sequence: number): AuditEntry => {
    const entry = entries[sequence - 1];
    assert.ok(entry);
    return entry;
  };
  /** One byte of a column: another, one more, one less, or cut there. */
  const oneByte = (): string => {
    const sequence = row();
    const column = columns[below(columns.length)] ?? 'body';
    const bytes = Buffer.from(entryAt(sequence)[column]);
    const at = below(bytes.length);
    const changed = [
      () =>
        Buffer.concat([bytes.subarray(0, at), Buffer.of((bytes[at] ?? 0) ^ (1 << below(8))), bytes.subarray(at + 1)]),
      () => Buffer.concat([bytes.subarray(0, at), Buffer.of(below(256)), bytes.subarray(at)]),
      () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]),
      () => bytes.subarray(0, at),
    ][below(4)];
    return `UPDATE entries SET ${column} = ${raw(changed?.() ?? bytes)} WHERE sequence = ${sequence}`;
  };
  const kinds: (() => string)[] = [
    oneByte,
    () => `UPDATE entries SET at = at ${below(2) === 0 ? '+' : '-'} ${1 + below(1_000)} WHERE sequence = ${row()}`,
    // The last one gone is found by what the inventory knows, or by the head: see below.
    () => `DELETE FROM entries WHERE sequence = ${1 + below(entries.length - 1)}`,
    () => {
      const [a, b] = [row(), row()];
      return a === b
        ? `DELETE FROM entries WHERE sequence = 1`
        : `UPDATE entries SET sequence = -1 WHERE sequence = ${a}; UPDATE entries SET sequence = ${a} WHERE sequence = ${b}; UPDATE entries SET sequence = ${b} WHERE sequence = -1`;
    },
    () => {
      const at = row();
      return `UPDATE entries SET sequence = -sequence WHERE sequence >= ${at}; UPDATE entries SET sequence = 1 - sequence WHERE sequence < 0;
        INSERT INTO entries VALUES (${at}, 1, 'drill', '1', '{}', ${text(at === 1 ? chainStart : entryAt(at - 1).hash)}, ${text('e'.repeat(64))})`;
    },
    () =>
      `INSERT INTO entries SELECT ${-below(3)}, at, kind, subject, body, previous, hash FROM entries WHERE sequence = ${row()}`,
    () =>
      `UPDATE keys SET key = ${text(below(2) === 0 ? 'f'.repeat(64) : '')} WHERE session = (SELECT session FROM keys LIMIT 1 OFFSET ${below(2)})`,
    () => `DELETE FROM keys WHERE session = (SELECT session FROM keys LIMIT 1 OFFSET ${below(2)})`,
  ];
  const runs = 96;
  for (let run = 0; run < runs; run++) {
    const statement = kinds[run % kinds.length]?.() ?? '';
    const { problems } = await forgery.verdict(statement);
    assert.notDeepEqual(problems, [], `seed ${seed}, run ${run}: not found: ${statement}`);
  }
  t.diagnostic(`${runs} forgeries, all found`);

  // The end cut off: the chain alone cannot tell, the inventory and a head that was noted elsewhere can.
  for (let keep = 0; keep < entries.length; keep++) {
    const cut = await forgery.verdict(`DELETE FROM entries WHERE sequence > ${keep}`);
    assert.deepEqual(cut.chain, []);
    assert.notEqual(cut.head, head);
    if (keep < 8) assert.match(cut.problems.join('\n'), /^no entry tells of /, `kept ${keep}`);
  }
});

test('a log that was written anew to fit a lie is found by what the inventory and the node said', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-audit-'));
  t.after(() => rm(directory, { recursive: true }));
  await using rack = await testRack();
  await eventful(rack);
  const entries = await rack.inventory.audit.entries({ limit: 100 });
  const forgery = await Forgery.of(rack, directory);
  /** Changes bodies, and makes every hash fit. */
  const rewritten = async (change: (body: Record<string, unknown>, kind: string) => void): Promise<AuditVerdict> => {
    let previous = chainStart;
    const rows = entries.map((entry) => {
      const body: Record<string, unknown> = { ...(JSON.parse(entry.body) as object) };
      change(body, entry.kind);
      const next = { ...entry, body: JSON.stringify(body), previous };
      previous = auditHash(next);
      return `UPDATE entries SET body = CAST(x'${Buffer.from(next.body).toString('hex')}' AS TEXT), previous = '${next.previous}', hash = '${previous}' WHERE sequence = ${entry.sequence}`;
    });
    const verdict = await forgery.verdict(...rows);
    assert.deepEqual(verdict.chain, []);
    assert.notEqual(verdict.head, entries.at(-1)?.hash);
    return verdict;
  };
  const table: [(body: Record<string, unknown>, kind: string) => void, RegExp][] = [
    [(body, kind) => void (kind === 'order' && (body['reason'] = 'other')), /entry 1, order 1: reason is "other"/],
    [(body, kind) => void (kind === 'order' && (body['by'] = 'ben')), /by is "ben", the inventory has "ada"/],
    [(body, kind) => void (kind === 'lift' && (body['at'] = 1)), /entry 6, the lift of order 1: at is 1/],
    [(body, kind) => void (kind === 'receipt' && (body['processes'] = 0)), /the node signed 12 ms and 3 processes/],
    [(body, kind) => void (kind === 'receipt' && delete body['evidenceAfterMs']), /evidenceAfterMs is missing/],
    [
      (body) => void (body['session'] !== undefined && (body['session'] = '0'.repeat(32))),
      /the key of session 0+ is missing/,
    ],
    [
      (body) => {
        const bytes = Buffer.from(typeof body['datagram'] === 'string' ? body['datagram'] : '', 'base64');
        if (bytes.length === 0) return;
        bytes[60] = (bytes[60] ?? 0) ^ 1;
        body['datagram'] = bytes.toString('base64');
      },
      /entry 2: cannot accept heartbeat: wrong signature/,
    ],
    [
      (body) => void (body['datagram'] !== undefined && (body['datagram'] = 'AAAA')),
      /entry 2: cannot parse heartbeat: 3 bytes/,
    ],
  ];
  for (const [change, wanted] of table) {
    const { problems } = await rewritten(change);
    assert.match(problems.join('\n'), wanted);
  }
  const asBefore = await rewritten((body, kind) => {
    if (kind !== 'receipt') return;
    body['confirmedAfterMs'] = body['evidenceAfterMs'];
    delete body['evidenceAfterMs'];
  });
  assert.deepEqual(asBefore.problems, [], 'what an older version wrote');
});

function text(value: string): string {
  return raw(Buffer.from(value));
}

function raw(value: Buffer): string {
  return `CAST(x'${value.toString('hex')}' AS TEXT)`;
}
