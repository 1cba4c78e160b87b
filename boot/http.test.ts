import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { test } from 'node:test';
import { mutated, seededRandom } from '../test/fuzz/random.ts';
import { type HttpOptions, type HttpServer, parseRange, serveHttp } from './http.ts';

const mac = '02:00:00:c2:00:01';
const bytes = seededRandom(3).bytes(300_000);
const sha256 = createHash('sha256').update(bytes).digest('hex');
const artefact = { sizeBytes: bytes.length, sha256, bytes: () => Promise.resolve(bytes) };

async function testServer(
  options: Partial<HttpOptions> = {},
): Promise<{ server: HttpServer; events: object[]; url: string; [Symbol.asyncDispose](): PromiseLike<void> }> {
  const events: object[] = [];
  const server = await serveHttp({
    address: '127.0.0.1',
    port: 0,
    artefacts: new Map([[`/kernel/${sha256}`, { artefact, type: 'application/octet-stream', stage: 'kernel' }]]),
    macOf: (ip) => (ip === '127.0.0.1' ? mac : undefined),
    refusal: () => undefined,
    script: async (of) => `#!ipxe\necho ${of}\n`,
    stage: (event) => events.push(event),
    log: () => {},
    ...options,
  });
  return {
    server,
    events,
    url: `http://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

test('an artefact comes whole, by HEAD without a body, and not again to who has it', async () => {
  await using it = await testServer();
  const url = `${it.url}/kernel/${sha256}`;
  const whole = await fetch(url);
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), bytes);
  assert.equal(whole.headers.get('cache-control'), 'public, max-age=31536000, immutable');
  assert.deepEqual(it.events, [{ mac, ip: '127.0.0.1', stage: 'kernel' }]);
  const head = await fetch(url, { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, '300000']);
  const again = await fetch(url, { headers: { 'if-none-match': `"${sha256}"` } });
  assert.equal(again.status, 304);
});

test('a file that can no longer be read is a 500 and not half a file', async () => {
  const lines: string[] = [];
  const broken = { ...artefact, bytes: () => Promise.reject(new Error('changed on the disk')) };
  await using it = await testServer({
    artefacts: new Map([['/kernel/0', { artefact: broken, type: 'application/octet-stream', stage: undefined }]]),
    log: (line) => lines.push(line),
  });
  assert.equal((await fetch(`${it.url}/kernel/0`)).status, 500);
  assert.match(lines.join(), /changed on the disk/);
});

test('a range comes as RFC 9110 wants it', async () => {
  await using it = await testServer();
  const table: [string, number, Buffer | undefined][] = [
    ['bytes=0-0', 206, bytes.subarray(0, 1)],
    ['bytes=299990-', 206, bytes.subarray(299_990)],
    ['bytes=-5', 206, bytes.subarray(-5)],
    ['bytes=10-999999999', 206, bytes.subarray(10)],
    ['bytes=300000-', 416, undefined],
    ['bytes=-0', 416, undefined],
    ['bytes=0-1,5-6', 200, bytes],
    ['bytes=5-1', 200, bytes],
    ['lines=1-2', 200, bytes],
  ];
  for (const [range, status, wanted] of table) {
    const response = await fetch(`${it.url}/kernel/${sha256}`, { headers: { range } });
    const body = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, status, range);
    if (wanted !== undefined) assert.deepEqual(body, wanted, range);
  }
  assert.deepEqual(parseRange('bytes=2-3', 10), { from: 2, to: 3 });
});

test('a script and a report are the board’s own', async () => {
  await using it = await testServer();
  assert.equal(await (await fetch(`${it.url}/boot.ipxe?mac=${mac}`)).text(), `#!ipxe\necho ${mac}\n`);
  const table: [string, number][] = [
    ['/boot.ipxe?mac=02-00-00-C2-00-01', 200],
    ['/boot.ipxe?mac=02:00:00:c2:00:02', 403],
    ['/boot.ipxe', 400],
    ['/boot.ipxe?mac=%00', 400],
    [`/stage?mac=${mac}&stage=refused-kernel&detail=a%0ab`, 200],
    [`/stage?mac=${mac}&stage=ready`, 400],
    ['/kernel/../../etc/passwd', 404],
    [`/${'x'.repeat(2000)}`, 414],
  ];
  for (const [path, status] of table) assert.equal((await fetch(it.url + path)).status, status, path);
  assert.equal((await fetch(`${it.url}/boot.ipxe?mac=${mac}`, { method: 'POST', body: 'x' })).status, 405);
  assert.deepEqual(it.events.at(-1), { mac, ip: '127.0.0.1', stage: 'refused-kernel', detail: 'a b' });
});

test('a ticket that cannot be written costs that request only', async () => {
  await using it = await testServer({ script: () => Promise.reject(new Error('the disk is full')) });
  assert.equal((await fetch(`${it.url}/boot.ipxe?mac=${mac}`)).status, 500);
  assert.equal(it.server.counters.failed, 1);
});

test('a port in use is one clear sentence', async () => {
  await using it = await testServer();
  await assert.rejects(
    testServer({ port: it.server.port }),
    /cannot serve boot files on 127.*: another program has this port/,
  );
});

test('bytes that are no HTTP never end the server', async () => {
  await using it = await testServer();
  const random = seededRandom(11);
  const request = Buffer.from(
    `GET /kernel/${sha256} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\nContent-Length: 3\r\n\r\nabc`,
  );
  for (let round = 0; round < 300; round++) await exchange(it.server.port, mutated(request, random));
  await exchange(it.server.port, Buffer.concat([request.subarray(0, 20), Buffer.alloc(100_000, 'a')]));
  await exchange(it.server.port, Buffer.from('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'));
  await exchange(
    it.server.port,
    Buffer.from('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'),
  );
  assert.equal((await fetch(`${it.url}/kernel/${sha256}`)).status, 200);
});

test('one address cannot hold more than sixteen connections', async () => {
  await using it = await testServer();
  const sockets = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = connect(it.server.port, '127.0.0.1');
      socket.on('error', () => {});
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      await new Promise((resolve) => socket.once('connect', resolve));
      return { socket, closed };
    }),
  );
  await Promise.race(sockets.map(({ closed }) => closed));
  for (const { socket } of sockets) socket.destroy();
});

/** Sends the bytes and waits until the server has answered or hung up. */
async function exchange(port: number, data: Buffer): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  const ended = Promise.withResolvers<void>();
  socket.on('error', () => ended.resolve());
  socket.on('close', () => ended.resolve());
  socket.on('data', () => ended.resolve());
  socket.end(data);
  await ended.promise;
  socket.destroy();
}
