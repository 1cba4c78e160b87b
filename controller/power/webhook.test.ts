// Against real HTTP servers on loopback.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { text } from 'node:stream/consumers';
import { generate } from 'selfsigned';
import { errorChain } from '../../protocol/error-chain.ts';
import type { WebhookPdu } from './configuration.ts';
import { webhookDriver } from './webhook.ts';

const request = {
  outlets: ['2'],
  boards: [{ mac: '02:00:00:c2:00:01', name: 'node-c20001', slot: 1 }],
  order: 7,
};

async function portOf(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function hook(t: TestContext, { listener, ...extra }: Partial<WebhookPdu> & { listener: RequestListener }) {
  const port = await portOf(t, createServer(listener));
  return {
    kind: 'webhook' as const,
    url: `http://127.0.0.1:${port}/rack`,
    token: 'secret',
    ca: undefined,
    timeoutMs: 10_000,
    ...extra,
  };
}

test('off, on and status are posted as JSON with the token, and {"off": true} is believed', async (t) => {
  const heard: { head: IncomingMessage; body: unknown }[] = [];
  let answer = '{"off": false}';
  const driver = webhookDriver(
    await hook(t, {
      listener: (incoming, outgoing) => {
        void text(incoming).then((body) => {
          heard.push({ head: incoming, body: JSON.parse(body) });
          outgoing.writeHead(200).end(answer);
        });
      },
    }),
  );
  await driver.turn('off', request);
  assert.equal(await driver.isOff(request), false);
  answer = '{"off": true}';
  assert.equal(await driver.isOff(request), true);
  await driver.turn('on', { ...request, order: null });
  const { boards: nodes, outlets } = request;
  assert.deepEqual(
    heard.map(({ body }) => body),
    [
      { action: 'off', order: 7, outlets, nodes },
      { action: 'status', order: 7, outlets, nodes },
      { action: 'status', order: 7, outlets, nodes },
      { action: 'on', order: null, outlets, nodes },
    ],
  );
  assert.deepEqual(
    heard.map(({ head }) => [head.method, head.url, head.headers.authorization, head.headers['content-type']]),
    heard.map(() => ['POST', '/rack', 'Bearer secret', 'application/json']),
  );
});

const answers: [string, string, boolean][] = [
  ['nothing', '', false],
  ['no JSON', 'off', false],
  ['another type', '{"off": "true"}', false],
  ['a list', '[{"off": true}]', false],
  ['more than that', '{"off": true, "watts": 0}', true],
];
for (const [name, body, wanted] of answers)
  test(`an answer of ${name} is ${wanted ? 'evidence' : 'no evidence'}`, async (t) => {
    const driver = webhookDriver(
      await hook(t, { listener: (_incoming, outgoing) => void outgoing.writeHead(200).end(body) }),
    );
    assert.equal(await driver.isOff(request), wanted);
  });

const failures: [string, RequestListener, RegExp][] = [
  ['500', (_incoming, outgoing) => void outgoing.writeHead(500).end('no'), /do "off": it answered 500, want 2xx$/],
  [
    'a redirection, which is not followed',
    (_incoming, outgoing) => void outgoing.writeHead(307, { location: 'http://127.0.0.1:9/' }).end(),
    /it answered 307, want 2xx$/,
  ],
  ['no answer', () => undefined, /no whole answer within 300 ms:/],
  [
    'a body that dribbles in',
    (_incoming, outgoing) => {
      outgoing.writeHead(200);
      const timer = setInterval(() => outgoing.write(' '), 20);
      outgoing.once('close', () => clearInterval(timer));
    },
    /no whole answer within 300 ms:/,
  ],
  [
    'a body without end',
    (_incoming, outgoing) => void outgoing.writeHead(200).end(Buffer.alloc(1 << 20)),
    /it answered more than 65536 bytes$/,
  ],
  [
    'a connection that ends in the middle',
    (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-length': 100 });
      outgoing.write('{');
      setTimeout(() => outgoing.destroy(), 20);
    },
    /aborted|ECONNRESET|hang up/,
  ],
];
for (const [name, listener, wanted] of failures)
  test(`it fails in one sentence, in time: ${name}`, async (t) => {
    const isTimed = /300 ms/.test(String(wanted));
    const driver = webhookDriver(await hook(t, { listener, timeoutMs: isTimed ? 300 : 10_000 }));
    await assert.rejects(driver.turn('off', request), (error) => {
      assert.match(errorChain(error), wanted);
      assert.doesNotMatch(errorChain(error), /secret/);
      return true;
    });
  });

test('nobody listens', async (t) => {
  const gone = await hook(t, { listener: () => undefined });
  await assert.rejects(webhookDriver({ ...gone, url: 'http://127.0.0.1:1/' }).turn('off', request), (error) => {
    assert.match(errorChain(error), /ECONNREFUSED/);
    return true;
  });
});

test('TLS: a certificate that nobody vouches for is refused, a configured one is taken', async (t) => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  });
  const server = createTlsServer({ key, cert }, (_incoming, outgoing) => void outgoing.end('{"off":true}'));
  const port = await portOf(t, server);
  const pdu = { kind: 'webhook' as const, url: `https://127.0.0.1:${port}/`, token: 't', timeoutMs: 10_000 };
  await assert.rejects(webhookDriver({ ...pdu, ca: undefined }).isOff(request), (error) => {
    assert.match(errorChain(error), /self.signed/i);
    return true;
  });
  assert.equal(await webhookDriver({ ...pdu, ca: cert }).isOff(request), true);
});
