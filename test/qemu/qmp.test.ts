import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { Qmp } from './qmp.ts';

test('a machine protocol that is reset fails the command that waits, and those that come after', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined); // its end is what this test is about
    socket.once('data', () => socket.resetAndDestroy());
  });
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const channel: Socket = connect(address.port, '127.0.0.1');
  t.after(() => channel.destroy());
  await once(channel, 'connect');
  const qmp = new Qmp(channel, () => undefined);
  await assert.rejects(qmp.open(), /ECONNRESET|closed its machine protocol/);
  await assert.rejects(qmp.run('cont'), /ECONNRESET|closed its machine protocol/);
});
