import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import fastify from 'fastify';
import { runCommandLine } from '../run.ts';

test('muster events --follow goes on when the controller is away for a while, and not for ever', async () => {
  const event = { id: 1, at: 0, kind: 'node', subject: 'n', message: 'one' };
  let asked = 0;
  const app = fastify({ forceCloseConnections: true });
  app.get('/v1/events', (_request, reply) => {
    asked += 1;
    if (asked === 1) return reply.send({ events: [event] });
    if (asked === 4) return reply.send({ events: [{ ...event, id: 2, message: 'two' }] });
    reply.hijack();
    reply.raw.destroy();
    return reply;
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  await using _closing = { [Symbol.asyncDispose]: () => app.close() };
  const { port } = app.server.address() as AddressInfo;
  let clockMs = 0;
  const ran = { out: '', err: '' };
  const code = await runCommandLine(['events', '--follow'], {
    output: { out: (text) => (ran.out += text), err: (text) => (ran.err += text), tty: false },
    signal: new AbortController().signal,
    variables: { url: `http://127.0.0.1:${port}`, token: 'x' },
    readToken: () => undefined,
    stateDirectories: [],
    now: () => 0,
    monotonic: () => clockMs,
    sleep: (ms) => Promise.resolve(void (clockMs += ms)),
  });
  assert.match(ran.out, /n: one\n.*n: two\n$/);
  assert.equal(code, 1);
  assert.match(
    ran.err,
    /^the controller at .* does not answer, asking on …\nthe controller at .* asking on …\nmuster: cannot reach .*\n$/,
  );
  assert.ok(clockMs > 60_000 && clockMs < 70_000, String(clockMs));
});
