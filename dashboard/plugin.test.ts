import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fastify from 'fastify';
import { dashboard } from './plugin.ts';

async function serve() {
  const app = fastify();
  await app.register(dashboard);
  return { app, [Symbol.asyncDispose]: () => app.close() };
}

test('GET / answers the page, under a policy that allows our own files alone', async () => {
  await using served = await serve();
  const { statusCode, headers, body } = await served.app.inject('/');
  assert.equal(statusCode, 200);
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
  const policy = String(headers['content-security-policy']);
  for (const rule of [`default-src 'none'`, `script-src 'self'`, `frame-ancestors 'none'`, `require-trusted-types-for`])
    assert.ok(policy.includes(rule), rule);
  assert.ok(!policy.includes('unsafe'));
  assert.ok(!/<script(?![^>]*src=)|\sstyle=|\son\w+=/.test(body), 'nothing inline');
  assert.ok(!/https?:/.test(body), 'nothing from elsewhere');
});

test('GET /page/main.ts answers JavaScript', async () => {
  await using served = await serve();
  const { headers, body } = await served.app.inject('/page/main.ts');
  assert.equal(headers['content-type'], 'text/javascript; charset=utf-8');
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.ok(!body.includes('import type'));
  assert.ok(!body.includes(': Changes'));
});

test('the page names each of its modules, so that the browser fetches them at once', async () => {
  await using served = await serve();
  const { body } = await served.app.inject('/');
  const named = [...body.matchAll(/(?:href|src)="\/page\/([\w/-]+\.ts)"/g)].map(([, name]) => name);
  const files = (await readdir(new URL('page/', import.meta.url), { recursive: true })).filter((name) =>
    /(?<!\.test)\.ts$/.test(name),
  );
  assert.deepEqual(new Set(named), new Set(files));
});

test('every module that the page imports is served, and named by the page', async () => {
  await using served = await serve();
  const { body } = await served.app.inject('/');
  const named = [...body.matchAll(/(?:href|src)="(\/[\w/-]+\.ts)"/g)].map(([, path = '']) => path);
  for (const path of named) {
    const module = await served.app.inject(path);
    for (const [, specifier = ''] of module.body.matchAll(
      /^(?:import|export) .*from '(\.[^']+)';|^} from '(\.[^']+)';/gm,
    ))
      assert.ok(named.includes(new URL(specifier, `http://rack${path}`).pathname), `${path} imports ${specifier}`);
  }
  assert.ok(named.includes('/protocol/timing.ts'));
});

test('a known version is answered with 304, and every file of the page is there', async () => {
  await using served = await serve();
  const page = await served.app.inject('/');
  for (const [, path = ''] of page.body.matchAll(/(?:href|src)="(\/(?:page|protocol)\/[^"]+)"/g)) {
    const first = await served.app.inject(path);
    assert.equal(first.statusCode, 200, path);
    const etag = String(first.headers.etag);
    const again = await served.app.inject({ url: path, headers: { 'if-none-match': `"other", ${etag}` } });
    assert.deepEqual([again.statusCode, again.body], [304, '']);
  }
});

for (const [asked, encoding] of [
  ['gzip, br', 'gzip'],
  ['br;q=1, gzip;q=0.5', 'gzip'],
  ['gzip;q=0', undefined],
  ['identity', undefined],
  ['', undefined],
] as const) {
  test(`accept-encoding "${asked}" is answered with ${encoding ?? 'the plain file'}`, async () => {
    await using served = await serve();
    const answer = await served.app.inject({ url: '/page/style.css', headers: { 'accept-encoding': asked } });
    assert.equal(answer.headers['content-encoding'], encoding);
    const body = encoding === undefined ? answer.rawPayload : gunzipSync(answer.rawPayload);
    assert.match(body.toString(), /color-scheme: light dark/);
  });
}

for (const path of [
  '../plugin.ts',
  '%2e%2e%2fplugin.ts',
  'rack-state.test.ts',
  'tsconfig.json',
  'no.ts',
  '__proto__',
]) {
  test(`GET /page/${path} is not found`, async () => {
    await using served = await serve();
    assert.equal((await served.app.inject(`/page/${path}`)).statusCode, 404);
  });
}
