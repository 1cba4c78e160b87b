// Every way to be refused, as a client sees it; versions and pages, too.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Check } from 'typebox/value';
import { macOf, testRack } from '../../../inventory/rack.fixture.ts';
import { Problem, problems } from '../../../protocol/api/problem.ts';
import { dashboard } from '../../../dashboard/plugin.ts';
import { idleRollCall, openOperatorApi } from '../operator-api.fixture.ts';

async function rig(t: TestContext) {
  const stack = new AsyncDisposableStack();
  t.after(() => stack.disposeAsync());
  const rack = stack.use(await testRack());
  const { inventory, directory } = rack;
  const { app } = stack.use(
    await openOperatorApi({ inventory, rollCall: idleRollCall(), directory: join(directory, 'images') }),
  );
  type Sent = { headers?: Record<string, string>; body?: object; text?: string };
  const ask = async (asked: string, { headers, body, text }: Sent = {}) => {
    const [method = '', url = ''] = asked.split(' ');
    const payload = text ?? (body === undefined ? undefined : JSON.stringify(body));
    const answer = await app.inject({
      // Fastify's type names the methods that it knows.
      method: method as 'GET',
      url,
      headers: {
        authorization: 'Bearer secret',
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(payload === undefined ? {} : { payload }),
    });
    const value: unknown = answer.payload === '' ? undefined : answer.json();
    return { status: answer.statusCode, headers: answer.headers, value };
  };
  const refused = async (asked: string, sent?: Sent) => {
    const { status, headers, value } = await ask(asked, sent);
    assert.ok(Check(Problem, value), `${asked}: ${JSON.stringify(value)}`);
    assert.match(String(headers['content-type']), /^application\/problem\+json/);
    const kind = Object.entries(problems).find(([code]) => code === value.code)?.[1];
    assert.deepEqual([status, value.title], [kind?.status, kind?.title]);
    assert.deepEqual([value.type, value.error], [`/reference#${value.code}`, value.detail]);
    return { code: value.code, detail: value.detail, headers };
  };
  return { rack, ask, refused, app };
}

test('the page and every module of it come without a token, which the page asks for itself', async (t) => {
  const { app } = await rig(t);
  await app.register(dashboard);
  const { body } = await app.inject('/');
  const paths = [...body.matchAll(/(?:href|src)="(\/[\w/-]+\.(?:ts|css|svg))"/g)].map(([, path = '']) => path);
  assert.ok(paths.includes('/page/main.ts') && paths.includes('/protocol/timing.ts'), paths.join(' '));
  const refused = new Map<string, number>();
  for (const path of ['/', ...paths]) {
    const { statusCode } = await app.inject(path);
    if (statusCode !== 200) refused.set(path, statusCode);
  }
  assert.deepEqual([...refused], []);
});

test('each refusal has its code, and the headers that say what to do', async (t) => {
  const { refused } = await rig(t);
  const code = async (...asked: Parameters<typeof refused>) => (await refused(...asked)).code;
  assert.equal(await code('GET /v1/none'), 'no-route');
  assert.equal(await code('GET /v1/nodes/none'), 'not-found');
  assert.equal(await code('GET /v1/nodes', { headers: { host: 'example.com' } }), 'wrong-host');
  assert.equal(await code('GET /v1/nodes', { headers: { 'sec-fetch-site': 'cross-site' } }), 'other-site');
  assert.equal(await code('POST /v1/kill', { text: '{' }), 'invalid-json');
  assert.equal(await code('POST /v1/kill', { text: ' '.repeat(70_000) }), 'body-too-large');
  assert.equal(await code('POST /v1/kill', { body: { customer: 'none', reason: 'x' } }), 'conflict');

  const method = await refused('PUT /v1/nodes/node-1/power');
  assert.deepEqual([method.code, method.headers.allow], ['method-not-allowed', 'GET, HEAD, POST']);
  for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
    const media = await refused('POST /v1/kill', { text: '{}', headers: { 'content-type': type } });
    assert.deepEqual([media.code, media.headers.accept], ['unsupported-media-type', 'application/json']);
    assert.equal(media.detail, `cannot read the body: its content type is "${type}", want application/json`);
  }
  assert.equal(await code('POST /v1/images?name=web', { body: {} }), 'unsupported-media-type');

  const none = await refused('GET /v1/nodes', { headers: { authorization: '' } });
  assert.deepEqual([none.code, none.headers['www-authenticate']], ['no-token', 'Bearer realm="muster"']);
  const wrong = await refused('GET /v1/nodes', { headers: { authorization: 'Bearer x' } });
  assert.equal(wrong.code, 'wrong-token');
  assert.equal(wrong.headers['www-authenticate'], 'Bearer realm="muster", error="invalid_token"');
});

test('a request without a token is refused before its body is read', async (t) => {
  const { refused } = await rig(t);
  const { code, headers } = await refused('POST /v1/kill', { text: '{', headers: { authorization: '' } });
  assert.deepEqual([code, headers.connection], ['no-token', 'close']);
});

test('the description and its page need no token', async (t) => {
  const { app } = await rig(t);
  for (const [url, type] of [
    ['/openapi.json', 'application/json; charset=utf-8'],
    ['/reference', 'text/html; charset=utf-8'],
  ] as const) {
    const { statusCode, headers } = await app.inject({ url });
    assert.deepEqual([statusCode, headers['content-type']], [200, type]);
  }
});

test('a change as of a version is refused when another came first', async (t) => {
  const { ask, refused, rack } = await rig(t);
  await rack.inventory.customers.add({ name: 'acme' });
  await rack.ready(macOf(1));
  const name = rack.inventory.nodes.get(macOf(1))?.name ?? '';
  const tagOf = async (path: string) => String((await ask(`GET ${path}`)).headers.etag);

  const path = `/v1/nodes/${name}`;
  const before = await tagOf(path);
  const slot = (number: number, tag: string) => ({ body: { slot: number }, headers: { 'if-match': tag } });
  assert.equal((await ask(`PATCH ${path}`, slot(7, before))).status, 200);
  const stale = await refused(`PATCH ${path}`, slot(8, before));
  assert.equal(stale.code, 'precondition-failed');
  assert.match(stale.detail, /^cannot change node-\w+: it is ".{22}", want ".{22}" \(If-Match\): read it again$/);
  assert.equal(rack.inventory.nodes.get(macOf(1))?.slot, 7);
  assert.equal((await ask(`PATCH ${path}`, slot(8, `"other", ${await tagOf(path)}`))).status, 200);

  // What changes by itself is no other version.
  const steady = await tagOf(path);
  rack.inventory.nodes.heartbeat(macOf(1), { at: rack.now() });
  assert.equal(await tagOf(path), steady);

  // Of ten who read the same, one changes it.
  const ten = await Promise.all(Array.from({ length: 10 }, (_, i) => ask(`PATCH ${path}`, slot(20 + i, steady))));
  assert.deepEqual(
    ten.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, ...Array.from({ length: 9 }, () => 412)],
  );

  const customer = await tagOf('/v1/customers/acme');
  assert.equal(
    (await refused('DELETE /v1/customers/acme', { headers: { 'if-match': '"x"' } })).code,
    'precondition-failed',
  );
  assert.equal(
    (await refused('DELETE /v1/customers/none', { headers: { 'if-match': '*' } })).code,
    'precondition-failed',
  );
  assert.equal((await ask('DELETE /v1/customers/acme', { headers: { 'if-match': customer } })).status, 200);
});

test('a workload is made only where there is none, and changed as of its version', async (t) => {
  const { ask, refused, rack } = await rig(t);
  const { inventory } = rack;
  await inventory.customers.add({ name: 'acme' });
  await inventory.images.save({
    name: 'web',
    digest: 'a'.repeat(64),
    architecture: 'arm64',
    squashfs: { sha256: 'b'.repeat(64), sizeBytes: 1 },
    config: { entrypoint: ['/web'], cmd: [], env: [], workingDir: '/', user: '0:0' },
    importedAt: 0,
  });
  const path = '/v1/workloads/acme/web';
  const put = (replicas: number, headers: Record<string, string>) =>
    ask(`PUT ${path}`, { body: { image: 'web', replicas }, headers });
  assert.equal((await put(1, { 'if-match': '*' })).status, 412);
  const made = await put(1, { 'if-none-match': '*' });
  assert.equal(made.status, 200, JSON.stringify(made.value));
  assert.equal((await put(2, { 'if-none-match': '*' })).status, 412);
  assert.equal((await put(2, { 'if-match': String(made.headers.etag) })).status, 200);
  const stale = await refused(`PATCH ${path}`, {
    body: { replicas: 3 },
    headers: { 'if-match': String(made.headers.etag) },
  });
  assert.equal(stale.code, 'precondition-failed');
  const { etag } = (await ask(`GET ${path}`)).headers;
  assert.equal(
    (await ask(`PATCH ${path}`, { body: { replicas: 3 }, headers: { 'if-match': String(etag) } })).status,
    200,
  );
  assert.equal(inventory.workloads.get('acme', 'web')?.spec.replicas, 3);
});

test('a list comes whole, or in pages that neither hide nor repeat', async (t) => {
  const { ask, refused, rack } = await rig(t);
  for (let i = 0; i < 7; i++) await rack.inventory.customers.add({ name: `c${i}` });
  const page = async (query: string) => {
    const { value } = await ask(`GET /v1/customers${query}`);
    const { customers, next } = value as { customers: { name: string }[]; next?: string };
    return { names: customers.map(({ name }) => name).join(' '), next };
  };
  assert.deepEqual(await page(''), { names: 'c0 c1 c2 c3 c4 c5 c6', next: undefined });
  assert.deepEqual(await page('?limit=3'), { names: 'c0 c1 c2', next: 'c2' });
  // Gone between two pages.
  await rack.inventory.customers.remove('c2');
  await rack.inventory.customers.remove('c4');
  assert.deepEqual(await page('?limit=3&after=c2'), { names: 'c3 c5 c6', next: undefined });
  assert.deepEqual(await page('?after=zz'), { names: '', next: undefined });
  for (const reason of ['one', 'two', 'three']) {
    await ask('POST /v1/kill', { body: { customer: 'c0', reason } });
    await ask('POST /v1/lift', { body: { customer: 'c0' } });
  }
  const orders = async (query: string) => (await ask(`GET /v1/kill${query}`)).value;
  const numbers = (value: unknown) => (value as { orders: { number: number }[] }).orders.map(({ number }) => number);
  assert.deepEqual(numbers(await orders('')), [1, 2, 3]);
  assert.deepEqual(numbers(await orders('?limit=2&after=1')), [2, 3]);
  assert.equal((await refused('GET /v1/kill?after=x')).code, 'invalid-request');
  const events = (await ask('GET /v1/events?after=0&limit=2')).value as { events: { id: number }[]; next?: string };
  assert.equal(events.next, String(events.events[1]?.id));
});
