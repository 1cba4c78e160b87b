// The operators' API with the two-person rule, over its own routes; what a board then hears is in `kill.test.ts`.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Check } from 'typebox/value';
import { dashboard } from '../../dashboard/plugin.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import { openInventory, type Inventory } from '../../inventory/inventory.ts';
import { Approval } from '../../protocol/api/approvals.ts';
import type { NewOperator } from '../../protocol/api/operators.ts';
import { KillOrder } from '../../protocol/api/orders.ts';
import type { Server } from './serving/http.ts';
import { idleRollCall, methodAndUrl, openOperatorApi } from './operator-api.fixture.ts';

const waitMs = 600_000;

interface Answer {
  status: number;
  body: unknown;
}
interface Rig {
  inventory: Inventory;
  /** What the roll call was told, in order. */
  enforced: string[];
  pass: (ms: number) => void;
  /** `POST /v1/kill` */
  ask: (route: string, said?: { token?: string | undefined; body?: object }) => Promise<Answer>;
  tokens: { anna: string; ben: string };
  app: () => Server;
  /** The controller ends and another one starts on the same directory. */
  restart: () => Promise<void>;
}

async function rig(t: TestContext, { twoPersonRule = true } = {}): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'operators-'));
  let now = 1_800_000_000_000;
  let closing = new AsyncDisposableStack();
  t.after(async () => {
    await closing.disposeAsync();
    await rm(directory, { recursive: true });
  });
  const enforced: string[] = [];
  const start = async () => {
    const inventory = closing.use(await openInventory({ directory, now: () => now, random: randomBytes }));
    const rollCall = {
      ...idleRollCall(),
      enforce: () => void enforced.push('permits'),
      orderGiven: ({ scope }: OrderDocument) => void enforced.push(`order ${scope}`),
    };
    const twoPersonWaitMs = twoPersonRule ? waitMs : undefined;
    const parts = { inventory, rollCall, directory, wallClock: () => now, token: 'root-token', twoPersonWaitMs };
    const { app } = closing.use(await openOperatorApi(parts));
    await app.register(dashboard);
    await app.ready();
    return { inventory, app };
  };
  let running = await start();
  const ask: Rig['ask'] = async (route, { token, body } = {}) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await running.app.inject({
      ...methodAndUrl(route),
      headers,
      ...(body === undefined ? {} : { payload: body }),
    });
    return { status: answer.statusCode, body: answer.json() };
  };
  const added = async (name: string) =>
    ((await ask('POST /v1/operators', { token: 'root-token', body: { name } })).body as NewOperator).token;
  const tokens = { anna: await added('anna'), ben: await added('ben') };
  for (const name of ['acme', 'bolt']) await running.inventory.customers.add({ name });
  return {
    get inventory() {
      return running.inventory;
    },
    enforced,
    pass: (ms) => void (now += ms),
    ask,
    tokens,
    app: () => running.app,
    restart: async () => {
      await closing.disposeAsync();
      closing = new AsyncDisposableStack();
      running = await start();
    },
  };
}

function approvalOf({ status, body }: Answer): Approval {
  assert.equal(status, 202, JSON.stringify(body));
  assert.ok(Check(Approval, body));
  return body;
}
function orderOf({ status, body }: Answer, wanted: number): KillOrder {
  assert.equal(status, wanted, JSON.stringify(body));
  assert.ok(Check(KillOrder, body));
  return body;
}
function refusal({ body }: Answer): string {
  assert.ok(typeof body === 'object' && body !== null && 'error' in body && typeof body.error === 'string');
  assert.doesNotMatch(body.error, /\n/);
  return body.error;
}

test('every request is by a named operator, and nobody else', async (t) => {
  const { ask, tokens, inventory } = await rig(t);
  const change = (token?: string) => ask('POST /v1/customers', { token, body: { name: 'carl' } });
  for (const token of [undefined, '', 'x', 'anna', `${tokens.anna} `, tokens.anna.toUpperCase()])
    assert.equal((await change(token)).status, 401);
  assert.equal((await change(tokens.anna)).status, 201);
  const [event] = (await inventory.events.list({ limit: 1, subject: 'carl' })).map(({ message }) => message);
  assert.equal(event, 'added (by anna)');
  assert.deepEqual((await ask('GET /v1/whoami', { token: tokens.anna })).body, {
    name: 'anna',
    role: 'operator',
    customer: null,
    expiresAt: null,
    twoPersonRule: true,
  });
  for (const url of ['/v1/whoami', '/v1/nodes', '/v1/stream', '/v1/kill', '/v1/kill/1/report', '/metrics', '/v1/none'])
    for (const token of [undefined, 'x']) assert.equal((await ask(`GET ${url}`, { token })).status, 401, url);
  assert.deepEqual((await ask('GET /healthz')).body, { ok: true });

  assert.equal((await ask('POST /v1/operators', { token: tokens.anna, body: { name: 'dora' } })).status, 403);
  assert.equal((await ask('POST /v1/operators', { token: 'root-token', body: { name: 'Dora!' } })).status, 400);
  const listed = JSON.stringify((await ask('GET /v1/operators', { token: tokens.ben })).body);
  assert.match(listed, /"anna".*"ben".*"root"/);
  assert.doesNotMatch(listed, /[0-9a-f]{32}/);
  assert.equal((await ask('DELETE /v1/operators/anna', { token: 'root-token' })).status, 200);
  assert.equal((await change(tokens.anna)).status, 401);
});

test('a page of another site is answered nothing, and only leads here', async (t) => {
  const { app, tokens } = await rig(t);
  const from = async (site: string | undefined, { url, mode = 'cors' }: { url: string; mode?: string }) => {
    const fetched = site === undefined ? {} : { 'sec-fetch-site': site, 'sec-fetch-mode': mode };
    const headers = { authorization: `Bearer ${tokens.anna}`, ...fetched };
    return (await app().inject({ url, headers })).statusCode;
  };
  for (const site of [undefined, 'same-origin', 'none'])
    assert.equal(await from(site, { url: '/v1/nodes' }), 200, site);
  for (const site of ['cross-site', 'same-site'])
    for (const url of ['/v1/nodes', '/v1/stream', '/healthz', '/metrics', '/'])
      assert.equal(await from(site, { url }), 403, `${site} ${url}`);
  assert.equal(await from('cross-site', { url: '/v1/nodes', mode: 'navigate' }), 403);
  assert.equal(await from('cross-site', { url: '/', mode: 'navigate' }), 200);
});

test('every answer says that it is for our own page, and is what it says it is', async (t) => {
  const { app, tokens } = await rig(t);
  for (const headers of [{}, { authorization: `Bearer ${tokens.anna}` }])
    for (const url of ['/v1/nodes', '/v1/none', '/healthz']) {
      const { headers: got } = await app().inject({ url, headers });
      assert.equal(got['x-content-type-options'], 'nosniff', url);
      assert.equal(got['cross-origin-resource-policy'], 'same-origin', url);
    }
});

test('a wrong token is told so at once, many are not looked at; they are one event, and slow nobody else', async (t) => {
  const { ask, tokens, inventory, app } = await rig(t);
  const guesses = Array.from({ length: 200 }, (_, i) => ask('GET /v1/nodes', { token: `guess ${i}` }));
  assert.equal((await ask('GET /v1/nodes', { token: tokens.anna })).status, 200);
  const statuses = (await Promise.all(guesses)).map(({ status }) => status);
  const counted = (wanted: number) => statuses.filter((status) => status === wanted).length;
  // Twenty, and one more for each second that this takes.
  assert.ok(counted(401) >= 20 && counted(429) > 100 && counted(401) + counted(429) === 200, statuses.join(' '));
  const { headers, payload } = await app().inject({ url: '/v1/nodes', headers: { authorization: 'Bearer guess' } });
  assert.deepEqual([headers['retry-after'], JSON.parse(payload).code], ['1', 'too-many-requests']);
  const told = (await inventory.events.list({ limit: 100, subject: 'operators' })).map(({ message }) => message);
  assert.deepEqual(told, ['a wrong token came from 127.0.0.1']);
});

test('without the rule one operator is enough, and is named', async (t) => {
  const { ask, tokens } = await rig(t, { twoPersonRule: false });
  const order = orderOf(
    await ask('POST /v1/kill', { token: tokens.anna, body: { everything: true, reason: 'fire' } }),
    201,
  );
  assert.deepEqual([order.by, order.liftedBy], ['anna', null]);
  assert.equal(
    orderOf(await ask('POST /v1/lift', { token: tokens.ben, body: { everything: true } }), 200).liftedBy,
    'ben',
  );
});

test('one customer is stopped by one operator, whatever the rule says', async (t) => {
  const { ask, tokens, enforced } = await rig(t);
  assert.equal(
    orderOf(await ask('POST /v1/kill', { token: tokens.anna, body: { customer: 'acme', reason: 'spam' } }), 201).by,
    'anna',
  );
  assert.deepEqual(enforced, ['order acme', 'permits']);
});

test('everything is stopped when a second operator approves, not before, and answered like the original', async (t) => {
  const { ask, tokens, enforced } = await rig(t);
  const approval = approvalOf(
    await ask('POST /v1/kill', { token: tokens.anna, body: { everything: true, reason: 'fire' } }),
  );
  assert.deepEqual([approval.action, approval.scope, approval.by], ['kill', '*', 'anna']);
  assert.equal(approval.expiresAt - approval.at, waitMs);
  assert.deepEqual(enforced, []);
  assert.deepEqual((await ask('GET /v1/approvals', { token: tokens.ben })).body, { approvals: [approval] });
  const path = `/v1/approvals/${approval.id}`;
  assert.equal((await ask(`POST ${path}`)).status, 401);
  const same = await ask(`POST ${path}`, { token: tokens.anna });
  assert.equal(same.status, 409);
  assert.match(refusal(same), /^anna asked for this .*: another operator must approve it$/);
  assert.deepEqual(enforced, []);
  const order = orderOf(await ask(`POST ${path}`, { token: tokens.ben }), 201);
  assert.deepEqual([order.scope, order.by, order.reason], ['*', 'anna, approved by ben', 'fire']);
  assert.deepEqual(enforced, ['order *', 'permits']);
});

test('a lift waits too, also through a restart; who approves late is refused', async (t) => {
  const there = await rig(t);
  const { ask, tokens, enforced } = there;
  await ask('POST /v1/kill', { token: tokens.anna, body: { customer: 'acme', reason: 'spam' } });
  const approval = approvalOf(
    await ask('POST /v1/lift', { token: tokens.anna, body: { customer: 'acme', reason: 'sorry' } }),
  );
  await there.restart();
  assert.deepEqual((await ask('GET /v1/approvals', { token: tokens.ben })).body, { approvals: [approval] });
  there.pass(waitMs - 1);
  enforced.length = 0;
  const order = orderOf(await ask(`POST /v1/approvals/${approval.id}`, { token: tokens.ben }), 200);
  assert.deepEqual([order.liftedBy, enforced], ['anna, approved by ben', ['permits']]);

  await ask('POST /v1/kill', { token: tokens.ben, body: { customer: 'acme', reason: 'again' } });
  const second = approvalOf(await ask('POST /v1/lift', { token: tokens.ben, body: { customer: 'acme' } }));
  assert.ok(second.id > approval.id);
  there.pass(waitMs);
  const late = await ask(`POST /v1/approvals/${second.id}`, { token: tokens.anna });
  assert.equal(late.status, 409);
  assert.match(refusal(late), /does not wait: it was approved or withdrawn, or has expired/);
  assert.notEqual(there.inventory.orders.killedBy('acme'), undefined);
});

test('ten who approve at once give one order', async (t) => {
  const { ask, tokens, enforced, inventory } = await rig(t);
  const { id } = approvalOf(
    await ask('POST /v1/kill', { token: tokens.anna, body: { everything: true, reason: 'fire' } }),
  );
  const by = Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? tokens.ben : 'root-token'));
  const answers = await Promise.all(by.map((token) => ask(`POST /v1/approvals/${id}`, { token })));
  const counted = (wanted: number) => answers.filter(({ status }) => status === wanted).length;
  assert.deepEqual([counted(201), counted(409)], [1, 9]);
  assert.deepEqual(enforced, ['order *', 'permits']);
  assert.equal(inventory.orders.all().length, 1);
});

test('anybody with a token may withdraw', async (t) => {
  const { ask, tokens } = await rig(t);
  const { id } = approvalOf(
    await ask('POST /v1/kill', { token: tokens.anna, body: { everything: true, reason: 'fire' } }),
  );
  assert.equal((await ask(`DELETE /v1/approvals/${id}`)).status, 401);
  assert.equal((await ask(`DELETE /v1/approvals/${id}`, { token: tokens.ben })).status, 200);
  assert.equal((await ask(`POST /v1/approvals/${id}`, { token: tokens.ben })).status, 409);
});

test('with one operator the refusal says what is missing', async (t) => {
  const { ask, enforced } = await rig(t);
  for (const name of ['anna', 'ben']) await ask(`DELETE /v1/operators/${name}`, { token: 'root-token' });
  const alone = await ask('POST /v1/kill', { token: 'root-token', body: { everything: true, reason: 'fire' } });
  assert.equal(alone.status, 409);
  assert.match(refusal(alone), /needs two operators and there is only root: muster operator add NAME/);
  assert.deepEqual(enforced, []);
});
