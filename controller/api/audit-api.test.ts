// The audit log and the report over HTTP, from a real inventory.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { statusCounts } from './views.ts';
import { macOf, testRack, type TestRack } from '../../inventory/rack.fixture.ts';
import type { AuditEntry, AuditVerdict } from '../../protocol/api/audit.ts';
import { testHeartbeat } from '../../protocol/heartbeat.fixture.ts';
import { encodeHeartbeat } from '../../protocol/roll-call.ts';
import { registerAuditApi } from './audit-api.ts';
import { createServer } from './serving/http.ts';

async function rig(
  t: TestContext,
): Promise<{ rack: TestRack; get: (url: string) => Promise<{ status: number; text: string; type: string }> }> {
  const rack = await testRack();
  const app = createServer();
  registerAuditApi(app, {
    inventory: rack.inventory,
    status: () => ({
      version: '',
      startedAt: 0,
      startupMs: 0,
      rack: 'rack <1>',
      twoPersonRule: false,
      ...statusCounts(rack.inventory),
    }),
    wallClock: rack.now,
  });
  t.after(async () => {
    await app.close();
    await rack[Symbol.asyncDispose]();
  });
  return {
    rack,
    get: async (url) => {
      const { statusCode, body, headers } = await app.inject({ url });
      return { status: statusCode, text: body, type: String(headers['content-type']) };
    },
  };
}

async function killed(rack: TestRack, nodes: number): Promise<void> {
  const { inventory } = rack;
  await inventory.customers.add({ name: 'acme', onSilence: 'hold' });
  const boards = await Promise.all(Array.from({ length: nodes }, (_, i) => rack.ready(macOf(i + 1))));
  await inventory.orders.kill({
    scope: 'acme',
    reason: 'a <b>reason</b>',
    by: 'anna',
    targets: boards.map((_, i) => macOf(i + 1)),
  });
  await Promise.all(
    boards.map(({ session, key }, i) =>
      inventory.orders.saveReceipt({
        number: 1,
        mac: macOf(i + 1),
        receipt: { evidence: 'receipt', evidenceAfterMs: 40, stoppedAfterMs: 12, processes: 3 },
        heartbeat: {
          session,
          datagram: encodeHeartbeat(
            testHeartbeat({
              session: Buffer.from(session, 'hex'),
              receipts: [{ order: 1n, stoppedAfterMs: 12, processes: 3 }],
            }),
            Buffer.from(key, 'hex'),
          ),
        },
      }),
    ),
  );
}

test('entries by pages, oldest first, or the newest', async (t) => {
  const { rack, get } = await rig(t);
  await killed(rack, 3);
  const entries = async (query: string) => {
    const { status, text } = await get(`/v1/audit${query}`);
    assert.equal(status, 200, text);
    return (JSON.parse(text) as { entries: AuditEntry[] }).entries;
  };
  const all = await entries('');
  assert.deepEqual(
    all.map(({ sequence, kind }) => `${sequence} ${kind}`),
    ['1 order', '2 receipt', '3 receipt', '4 receipt'],
  );
  assert.deepEqual(await entries('?limit=2'), all.slice(2));
  assert.deepEqual(await entries('?after=1&limit=2'), all.slice(1, 3));
  assert.deepEqual(await entries('?after=4'), []);
  for (const query of ['?limit=-1', '?after=x', '?after=1e9'])
    assert.equal((await get(`/v1/audit${query}`)).status, 400);
});

test('the verdict on a whole rack of receipts does not hold up the event loop', async (t) => {
  const { rack, get } = await rig(t);
  await killed(rack, 684);
  await rack.inventory.audit.entries({ limit: 1 });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const startedAt = performance.now();
  const [one, two] = await Promise.all([get('/v1/audit/verify'), get('/v1/audit/verify')]);
  delay.disable();
  t.diagnostic(
    `685 entries, 684 signatures: ${Math.round(performance.now() - startedAt)} ms, the event loop held up for ${(delay.max / 1e6).toFixed(1)} ms at most`,
  );
  const verdict = JSON.parse(one.text) as AuditVerdict;
  assert.deepEqual([verdict.entries, verdict.receipts, verdict.late, verdict.problems], [685, 684, 0, []]);
  assert.equal(two.text, one.text);
});

test('the report is a page that fetches nothing', async (t) => {
  const { rack, get } = await rig(t);
  await killed(rack, 2);
  const { status, text, type } = await get('/v1/kill/1/report');
  assert.deepEqual([status, type], [200, 'text/html; charset=utf-8']);
  assert.match(text, /All 2 nodes have stopped it/);
  assert.match(text, /rack &lt;1&gt;/);
  assert.match(text, /a &lt;b&gt;reason&lt;\/b&gt;/);
  assert.match(text, /3 entries, the last with hash [0-9a-f]{64}/);
  assert.match(text, /acme \(hold on silence\)/);
  assert.equal((await get('/v1/kill/2/report')).status, 404);
  assert.equal((await get('/v1/kill/x/report')).status, 400);
});
