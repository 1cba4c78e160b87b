import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { controllerClient, inWords } from './controller-client.ts';
import { controllerPeer } from './controller-peer.fixture.ts';

async function connected(t: TestContext, pinned?: string) {
  const peer = await controllerPeer();
  const client = controllerClient({ api: peer.api, fingerprint: pinned ?? peer.fingerprint });
  const session = { id: randomBytes(16).toString('hex'), key: randomBytes(32) };
  peer.keys.set(session.id, session.key);
  t.after(async () => {
    client[Symbol.dispose]();
    await peer[Symbol.asyncDispose]();
  });
  return { peer, client, session };
}

const desired = { method: 'GET', path: '/v1/nodes/02:00:00:00:00:01/desired', deadlineMs: 5_000 } as const;

async function failure(doing: Promise<unknown>): Promise<string> {
  try {
    await doing;
  } catch (error) {
    return inWords(error);
  }
  return 'it did not fail';
}

test('the pinned controller answers, on one connection for several requests', async (t) => {
  const { peer, client, session } = await connected(t);
  peer.desired = { generation: 7, customers: [], instances: [] };
  for (let each = 0; each < 3; each += 1) {
    const { status, body } = await client.call({ ...desired, session, limitBytes: 1_000 });
    assert.deepEqual([status, JSON.parse(body.toString())], [200, peer.desired]);
  }
  assert.equal((await client.call({ ...desired, limitBytes: 1_000 })).status, 401);
});

test('another certificate gets no byte of a request', async (t) => {
  const { peer, client } = await connected(t, 'f'.repeat(64));
  const body = { token: 'secret' };
  const why = await failure(
    client.call({ method: 'POST', path: '/v1/join', body, deadlineMs: 5_000, limitBytes: 1_000 }),
  );
  assert.match(why, new RegExp(`cannot POST /v1/join: the controller's certificate is ${peer.fingerprint}, want ffff`));
  assert.equal(peer.joins.length, 0);
});

test('a peer that never answers, and one that speaks no TLS, are given up in time', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const client = controllerClient({ api: { host: '127.0.0.1', port: address.port }, fingerprint: 'a'.repeat(64) });
  t.after(() => {
    client[Symbol.dispose]();
    server.close();
  });
  assert.match(await failure(client.call({ ...desired, deadlineMs: 100, limitBytes: 1_000 })), /abort|timeout/i);
  server.once('connection', (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
  assert.match(await failure(client.call({ ...desired, limitBytes: 1_000 })), /cannot GET/);
});

test('an answer that is too long is an error', async (t) => {
  const { client, session } = await connected(t);
  assert.match(await failure(client.call({ ...desired, session, limitBytes: 10 })), /more than 10 bytes/);
});

test('an image is written as it comes and refused when it is another, too long, or missing', async (t) => {
  const { peer, client, session } = await connected(t);
  const dir = mkdtempSync(join(tmpdir(), 'muster-image-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const image = randomBytes(3_000_000);
  const sha256 = createHash('sha256').update(image).digest('hex');
  peer.images.set(sha256, image);
  const { signal } = new AbortController();
  const fetched = { path: `/v1/squashfs/${sha256}`, session, destination: join(dir, 'image'), signal };
  await client.download({ ...fetched, sha256, limitBytes: image.length });
  assert.ok(readFileSync(fetched.destination).equals(image));

  const other = 'c'.repeat(64);
  assert.match(await failure(client.download({ ...fetched, sha256: other, limitBytes: 10e6 })), /sha256 .* want cccc/);
  assert.match(await failure(client.download({ ...fetched, sha256, limitBytes: 1_000 })), /more than 1000 bytes/);
  assert.match(
    await failure(client.download({ ...fetched, path: `/v1/squashfs/${other}`, sha256: other, limitBytes: 10 })),
    /status 404/,
  );
  const aborted = AbortSignal.abort(new Error('no longer wanted'));
  assert.match(
    await failure(client.download({ ...fetched, sha256, limitBytes: 10e6, signal: aborted })),
    /cannot fetch/,
  );
});
