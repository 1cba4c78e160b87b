import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import type { FilledCheck } from '../../protocol/workload/check-schemas.ts';
import { startChecking } from './checking.ts';
import { pacer } from './pacer.ts';
import { probe } from './probe.ts';
import { until } from '../../test/until.ts';

const address = '127.0.0.1';
const pace = { intervalMs: 500, timeoutMs: 2_000, failures: 3, successes: 1 };
const never = new AbortController().signal;
const exec = () => Promise.resolve('no command here');

async function listening(server: Server): Promise<AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => undefined)));
  server.listen(0, address);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const asked = (check: Partial<FilledCheck>, signal = never) =>
  probe({ ...pace, ...check }, { instance: { address, exec }, signal });

test('an HTTP answer is judged by its status alone', async () => {
  const server = createHttpServer((request, response) => {
    response.statusCode = Number(request.url?.slice(1));
    response.end('x'.repeat(100_000));
  });
  await using there = await listening(server);
  const status = (path: string, wanted?: number) =>
    asked({ http: { path, port: there.port, ...(wanted !== undefined && { status: wanted }) } });
  assert.equal(await status('/200'), undefined);
  assert.equal(await status('/302'), undefined);
  assert.equal(await status('/404', 404), undefined);
  assert.equal(await status('/503'), 'status 503, want 200 to 399');
  assert.equal(await status('/200', 204), 'status 200, want 204');
});

const hostile: [string, (socket: Socket) => void, RegExp][] = [
  ['says nothing', () => undefined, /^no answer within 300 ms$/],
  ['hangs up', (socket) => socket.end(), /^no answer: the connection was closed$/],
  ['resets', (socket) => socket.resetAndDestroy(), /^the connection was reset$/],
  ['speaks something else', (socket) => socket.write('SSH-2.0-x\r\n'), /^the answer is not HTTP$/],
  ['never ends its first line', (socket) => socket.write('HTTP/1.1 200 ' + 'x'.repeat(1 << 20)), /^$/],
  [
    'drips',
    (socket) => void setInterval(() => socket.writable && socket.write('H'), 20).unref(),
    /^no answer within 300 ms$/,
  ],
];
for (const [what, behave, reason] of hostile) {
  test(`a server that ${what} costs no more than its time`, async () => {
    await using there = await listening(createServer(behave));
    const began = performance.now();
    const failure = await asked({ http: { path: '/', port: there.port }, timeoutMs: 300 });
    assert.match(failure ?? '', reason);
    assert.ok(performance.now() - began < 5_000);
  });
}

test('a connection is enough for TCP, and nobody listening is said', async () => {
  let port = 0;
  {
    await using there = await listening(createServer());
    port = there.port;
    assert.equal(await asked({ tcp: { port } }), undefined);
  }
  assert.equal(await asked({ tcp: { port } }), 'nothing listens there');
  assert.equal(await asked({ tcp: { port } }, AbortSignal.abort()), 'nothing listens there');
});

test('an instance becomes ready when it answers, and unready when it does not any more', async () => {
  const server = createServer();
  const there = await listening(server);
  const { port } = there;
  let changes = 0;
  const paces = { connections: pacer({ atOnce: 2, gapMs: 1 }), commands: pacer({ atOnce: 1, gapMs: 1 }) };
  using checking = startChecking({
    checks: { ready: { ...pace, tcp: { port }, failures: 1 } },
    customer: 'acme',
    instance: { address, exec },
    paces,
    adopted: false,
    changed: () => changes++,
    restart: () => assert.fail('nothing is live-checked'),
  });
  assert.deepEqual([checking.ready, checking.reason], [false, 'waits for its first check']);
  await until('it is ready', () => checking.ready);
  assert.equal(changes, 1);
  await there[Symbol.asyncDispose]();
  await until('it is not ready', () => !checking.ready);
  assert.equal(checking.reason, `a connection to port ${port}: nothing listens there`);
});

test('what is not live is restarted once', async () => {
  const told: string[] = [];
  const paces = { connections: pacer({ atOnce: 2, gapMs: 1 }), commands: pacer({ atOnce: 1, gapMs: 1 }) };
  using _checking = startChecking({
    checks: { live: { ...pace, exec: ['x'], failures: 2 } },
    customer: 'acme',
    instance: { address, exec: () => Promise.resolve('exited with 1: broken') },
    paces,
    adopted: false,
    changed: () => undefined,
    restart: (reason) => told.push(reason),
  });
  await until('it is told', () => told.length > 0);
  assert.deepEqual(told, ['is not live any more: x: exited with 1: broken']);
});
