// What strangers and hostile boards may send to the agents' API. Over the routes alone; what it costs the permits of a whole
// rack is in `test/failures/`.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { joinBoard, macOf, testRack } from '../../inventory/rack.fixture.ts';
import { agentAuthorization } from '../../protocol/agent-authorization.ts';
import { registerAgentApi } from './agent-api.ts';
import { createServer } from './serving/http.ts';

const mac = macOf(1);
const report = `/v1/nodes/${mac}/report`;
const sample = {
  cpu: 0,
  cpuPerCore: [],
  memoryUsedBytes: 0,
  memoryTotalBytes: 0,
  temperatureCelsius: null,
  uptimeSeconds: 0,
  rxBytesPerSecond: 0,
  txBytesPerSecond: 0,
  agentRssBytes: 0,
  permitThreadDelayMs: 0,
};
const empty = { generation: 0, instances: [], sample: null, facts: null, logs: [] };
const json = { 'content-type': 'application/json' };

async function rig(t: TestContext) {
  const stack = new AsyncDisposableStack();
  t.after(() => stack.disposeAsync());
  const rack = stack.use(await testRack());
  const { session, key } = await joinBoard(rack.inventory, { mac });
  const app = createServer();
  stack.defer(() => app.close());
  registerAgentApi(app, { inventory: rack.inventory, squashfsDirectory: rack.directory, now: rack.now });
  const post = async (url: string, { payload, ...headers }: { payload: string; authorization?: string }) => {
    const beganMs = performance.now();
    const answer = await app.inject({ method: 'POST', url, payload, headers: { ...json, ...headers } });
    const { error }: { error?: string } = answer.json();
    return {
      status: answer.statusCode,
      error: error ?? '',
      headers: answer.headers,
      tookMs: performance.now() - beganMs,
    };
  };
  const id = session.toString('hex');
  const proof = { authorization: agentAuthorization({ id, key }, { method: 'POST', path: report }) };
  return { rack, post, proof };
}

const wrongItems = `[${'1,'.repeat(499_000)}1]`;

test('a report of half a million wrong items is refused by its first, in one sentence', async (t) => {
  const { post, proof } = await rig(t);
  const body = JSON.stringify(empty).replace('"instances":[]', `"instances":${wrongItems}`);
  const { status, error, tookMs } = await post(report, { payload: body, ...proof });
  t.diagnostic(`${Math.round(tookMs)} ms`);
  assert.equal(status, 400);
  assert.equal(error, 'cannot accept "instances": it is a list of 499001, want a list of at most 2000 items');
  const items = await post(report, {
    payload: JSON.stringify({ ...empty, logs: Array.from({ length: 1_000 }, () => 1) }),
    ...proof,
  });
  assert.equal(items.status, 400);
  assert.equal(items.error, 'cannot accept "logs.0": it is 1, want an object');
});

test('without a session a report is not read, and its connection ends', async (t) => {
  const { post } = await rig(t);
  // Not even JSON: who is nobody is told so first.
  for (const body of ['{', wrongItems]) assert.equal((await post(report, { payload: body })).status, 401);
  assert.equal((await post(report, { payload: wrongItems })).headers['connection'], 'close');
});

test('a join is refused above 16 kB', async (t) => {
  const { post } = await rig(t);
  assert.equal((await post('/v1/join', { payload: `{"facts":{"interfaces":${wrongItems}}}` })).status, 413);
  assert.equal((await post('/v1/join', { payload: `{"facts":${'['.repeat(8_000)}${']'.repeat(8_000)}}` })).status, 400);
});

test('a board cannot have things kept that no sample and no facts have', async (t) => {
  const { post, proof, rack } = await rig(t);
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  const withDeep = (field: string, value: object) =>
    JSON.stringify({ ...empty, [field]: { ...value, extra: 'HERE' } }).replace('"HERE"', deep);
  const facts = { model: '', cpu: '', cores: 4, memoryBytes: 1, kernel: '', interfaces: [] };
  assert.equal((await post(report, { payload: withDeep('sample', sample), ...proof })).status, 400);
  assert.equal((await post(report, { payload: withDeep('facts', facts), ...proof })).status, 400);
  assert.equal((await post(report, { payload: JSON.stringify({ ...empty, sample, facts }), ...proof })).status, 200);
  // Samples are written a second later; one that could not be written ended the controller.
  rack.inventory.events.add({ kind: 'node', subject: mac, message: 'still here' });
  assert.equal((await rack.inventory.events.list({ limit: 1 }))[0]?.message, 'still here');
});

test('reports beyond what an agent sends are refused until it pauses', async (t) => {
  const { post, proof, rack } = await rig(t);
  const send = async () => (await post(report, { payload: JSON.stringify(empty), ...proof })).status;
  const statuses = [];
  for (let i = 0; i < 60; i++) statuses.push(await send());
  assert.equal(statuses[0], 200);
  assert.equal(statuses.at(-1), 429);
  await rack.pass(1_000);
  assert.equal(await send(), 200);
});

test('a thousand refused joins are one event and their number, and few are looked at', async (t) => {
  const { post, rack } = await rig(t);
  const { facts } = { facts: { model: '', cpu: '', cores: 4, memoryBytes: 1, kernel: '', interfaces: [] } };
  const statuses = new Map<number, number>();
  for (let i = 0; i < 1_000; i++) {
    const join = {
      mac: macOf(2 + i),
      token: '0'.repeat(64),
      bootId: 'b',
      serial: null,
      agentVersion: '',
      sshHostKey: null,
    };
    const { status } = await post('/v1/join', { payload: JSON.stringify({ ...join, facts }) });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  assert.ok((statuses.get(403) ?? 0) >= 1 && (statuses.get(429) ?? 0) > 900, JSON.stringify([...statuses]));
  const events = await rack.inventory.events.list({ limit: 1_000 });
  const refused = events.filter(({ message }) => message.includes('refused'));
  assert.equal(refused.length, 1, JSON.stringify(refused));
  assert.match(refused[0]?.message ?? '', /^join from 127\.0\.0\.1 refused: .* unknown/);
});
