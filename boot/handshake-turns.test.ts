import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { test } from 'node:test';
import { type TLSSocket, connect, createServer } from 'node:tls';
import { generate } from 'selfsigned';
import { limitConnections } from './connection-limit.ts';

test('one handshake at a time: who speaks gets a turn after the other, who says nothing takes none', async (t) => {
  const pems = await generate([{ name: 'commonName', value: 'muster' }], { keyType: 'ec', algorithm: 'sha256' });
  const server = createServer({ key: pems.private, cert: pems.cert }, (socket) => socket.end('served'));
  const gate = limitConnections(server, { total: 10, perAddress: 10, handshakes: 1 });
  const sockets: Socket[] = [];
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address !== 'string');
  const { port } = address;
  const silent = connectPlain({ port, host: '127.0.0.1' });
  sockets.push(silent);
  await once(silent, 'connect');
  const served = async (): Promise<string> => {
    const socket: TLSSocket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    sockets.push(socket);
    let said = '';
    for await (const bytes of socket) said += String(bytes);
    return said;
  };
  assert.deepEqual(
    await Promise.all(Array.from({ length: 5 }, served)),
    Array.from({ length: 5 }, () => 'served'),
  );
  assert.equal(gate.refused, 0);
  assert.ok(!silent.destroyed);
});
