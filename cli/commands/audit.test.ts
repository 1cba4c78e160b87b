// `muster audit` against a controller that hands out a log, whole or not: it must find out by itself.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fastify from 'fastify';
import { killReportHtml } from '../../dashboard/kill-report.ts';
import type { AuditEntry, AuditVerdict } from '../../protocol/api/audit.ts';
import type { KillTimeline } from '../../protocol/api/orders.ts';
import { auditHash, chainStart } from '../../protocol/records/audit.ts';
import { listening, muster, now, status } from './peer.fixture.ts';

function chain(length: number, body = '{}'): AuditEntry[] {
  const entries: AuditEntry[] = [];
  for (let sequence = 1; sequence <= length; sequence++) {
    const previous = entries.at(-1)?.hash ?? chainStart;
    const entry = { sequence, at: now, kind: 'drill' as const, subject: String(sequence), body, previous };
    entries.push({ ...entry, hash: auditHash(entry) });
  }
  return entries;
}

const order: KillTimeline = {
  number: 3,
  scope: 'acme',
  reason: 'why \u001b[31m',
  by: 'anna',
  at: now,
  liftedAt: null,
  liftedBy: null,
  stored: true,
  nodes: 3,
  stopped: 2,
  slowestMs: 143,
  unacknowledged: ['node-c'],
  holding: [],
  timeline: [
    ['node-a', 12, 'receipt'] as const,
    ['node-b', 143, 'receipt'] as const,
    ['node-c', null, null] as const,
  ].map(([name, evidenceAfterMs, evidence], i) => ({
    mac: `02:00:00:c2:00:0${i}`,
    name,
    evidence,
    sentAfterMs: 2,
    stoppedAfterMs: evidenceAfterMs === null ? null : 5,
    evidenceAfterMs,
    processes: 3,
    escalation:
      evidenceAfterMs === null
        ? [{ afterMs: 5_000, by: 'ssh' as const, outcome: 'failed' as const, detail: 'no route' }]
        : [],
  })),
};

/** `log` is what it hands out, `verdict` what it says about it. */
async function controller({ log, verdict = {} }: { log: AuditEntry[]; verdict?: Partial<AuditVerdict> }) {
  const app = fastify();
  app.get<{ Querystring: { after?: string; limit: string } }>('/v1/audit', ({ query: { after, limit } }) => ({
    entries:
      after === undefined
        ? log.slice(-Number(limit))
        : log.filter(({ sequence }) => sequence > Number(after)).slice(0, Number(limit)),
  }));
  app.get('/v1/audit/verify', () => ({
    entries: log.length,
    head: log.at(-1)?.hash ?? chainStart,
    receipts: 0,
    late: 0,
    problems: [],
    ...verdict,
  }));
  app.get('/v1/kill/3', () => order);
  app.get('/v1/kill/3/report', (_request, reply) =>
    reply.type('text/html').send(killReportHtml({ order, rack: 'rack-1', audit: null, at: now })),
  );
  app.get('/v1/status', () => status);
  return await listening(app);
}

test('muster audit lists the newest entries', async () => {
  const body = JSON.stringify({ node: 'n', evidence: 'receipt', targets: ['a', 'b'], session: 's', datagram: 'xxxxx' });
  await using there = await controller({ log: chain(60, body) });
  const { code, out } = await muster('audit --limit 2', there);
  assert.equal(code, 0);
  assert.match(
    out,
    /^ENTRY {2}AT \(UTC\) +KIND +ABOUT +HASH +SAYS\n +59 .*\n +60 {2}2027-01-15 08:00:00 {2}drill {2}60 +[0-9a-f]{12} {2}node=n evidence=receipt targets=2\n$/,
  );
  assert.match((await muster('audit --limit 2 --json', there)).out, /"sequence": 59/);
  assert.equal((await muster('audit --limit 0', there)).code, 2);
  await using empty = await controller({ log: [] });
  assert.equal((await muster('audit', empty)).out, 'the audit log is empty\n');
});

test('muster audit verify takes a whole log, page by page, and prints its head', async () => {
  const log = chain(1_203);
  await using there = await controller({ log, verdict: { receipts: 7, late: 1 } });
  const head = log.at(-1)?.hash ?? '';
  const { code, out, err } = await muster('audit verify', there);
  assert.equal(
    out,
    `1203 entries, 7 signed receipts checked again, 1 entries written late\nhead ${head}\nthe log is whole\n`,
  );
  assert.deepEqual([code, err], [0, '']);
  assert.equal((await muster(`audit verify --head ${log[600]?.hash}`, there)).code, 0);
  await using empty = await controller({ log: [] });
  assert.equal((await muster('audit verify', empty)).code, 0);
});

test('muster audit verify finds what the controller does not tell', async () => {
  const log = chain(5);
  const head = log.at(-1)?.hash ?? '';
  const broken = log.map((entry) => (entry.sequence === 3 ? { ...entry, body: '{"a":1}' } : entry));
  const table: [Parameters<typeof controller>[0], string, RegExp][] = [
    [{ log: broken }, 'audit verify', /^entry 3 was changed: /],
    [{ log: log.toSpliced(1, 1) }, 'audit verify', /^entry 2 is missing\n$/],
    [
      { log: log.slice(0, 4) },
      `audit verify --head ${head}`,
      /^no entry has the hash .*: the log was cut off or written anew since\n$/,
    ],
    [{ log: chain(5, '{"b":1}') }, `audit verify --head ${head}`, /^no entry has the hash /],
    [
      { log, verdict: { head: 'f'.repeat(64) } },
      'audit verify',
      /^the controller checked a log with head f+, which it does not hand out\n$/,
    ],
    [
      { log, verdict: { problems: ['no entry tells of order 9 \u001b[1m'] } },
      'audit verify',
      /^no entry tells of order 9 \ufffd\[1m\n$/,
    ],
  ];
  for (const [served, line, wanted] of table) {
    await using there = await controller(served);
    const { code, out, err } = await muster(line, there);
    assert.equal(code, 1, line);
    assert.match(err, wanted);
    assert.match(out, /\n1 problems\n$/);
    const json = await muster(`${line} --json`, there);
    assert.deepEqual([json.code, json.err], [1, '']);
    assert.match(json.out, /"problems": \[\n +"/);
  }
  assert.equal((await muster('audit verify --head abc', { url: 'http://127.0.0.1:9' })).code, 2);
});

test('muster kill show: unacknowledged first, then the slowest, with what was tried', async () => {
  await using there = await controller({ log: [] });
  const { out } = await muster('kill show 3', there);
  assert.match(out, /^order 3: acme, given 2027-01-15 08:00:00 UTC by anna, stands\nreason: why \ufffd\[31m\n/);
  const rows = out.split('\n').filter((line) => line.startsWith('node-'));
  assert.match(rows[0] ?? '', /^node-c .* 2 ms +- +- +unacknowledged +3 +ssh failed after 5\.00 s: no route$/);
  assert.match(rows[1] ?? '', /^node-b .* 2 ms +5 ms +143 ms +receipt +3 +-$/);
  assert.match(rows[2] ?? '', /^node-a /);
});

test('muster kill report: text to read, or a page for a printer', async (t) => {
  const log = chain(2);
  await using there = await controller({ log });
  const { code, out } = await muster('kill report 3', there);
  assert.equal(code, 0);
  assert.match(out, /^Kill order 3: customer acme\n1 of 3 nodes have not acknowledged; 0 were later than 5\.00 s\.\n/);
  assert.match(out, new RegExp(`audit log +2 entries, the last with hash ${log[1]?.hash}`));
  assert.match(out, /\nNODE +MAC +SENT .*\nnode-c /);
  assert.match(
    out,
    /3\.00 s permit \+ 0\.25 s leash's sweep \+ 1\.00 s to die \+ 0\.25 s .* \+ 0\.50 s margin = 5\.00 s/,
  );
  assert.ok(!out.includes('\u001b'));
  const directory = await mkdtemp(join(tmpdir(), 'muster-cli-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, 'report.html');
  assert.equal((await muster(`kill report 3 --html ${file}`, there)).out, `the report on order 3 is in ${file}\n`);
  assert.match(await readFile(file, 'utf8'), /^<!doctype html>[^]*<h1>Kill order 3: customer acme<\/h1>/);
  assert.match((await muster(`kill report 3 --html ${directory}/no/x`, there)).err, /cannot write .*ENOENT/);
});
