import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { type Server, type Socket, connect } from 'node:net';
import { test } from 'node:test';
import { limitConnections } from './connection-limit.ts';

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`the server listens on ${address}`);
  return address.port;
}

async function opened(port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function isAnswered(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  get({ port, host: '127.0.0.1', agent: false }, (answer) => {
    answer.resume();
    resolve(answer.statusCode === 200);
  }).on('error', () => resolve(false));
  return promise;
}

test('a full server closes the unproven connection that waited longest, for a newcomer', async () => {
  const server = createServer((_request, response) => response.end());
  const gate = limitConnections(server, { total: 3, perAddress: 10 });
  const port = await listening(server);
  try {
    const [first, ...others] = [await opened(port), await opened(port), await opened(port)];
    const gone = once(first, 'close');
    assert.ok(await isAnswered(port));
    await gone;
    assert.deepEqual(
      others.map(({ destroyed }) => destroyed),
      [false, false],
    );
    assert.equal(gate.refused, 1);
    for (const socket of others) socket.destroy();
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('who is proven stays, and where all are the newcomer is refused', async () => {
  const server = createServer((request, response) => {
    gate.prove(request.socket);
    response.end();
  });
  const gate = limitConnections(server, { total: 1, perAddress: 10 });
  const port = await listening(server);
  try {
    const known = await opened(port);
    known.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(known, 'data');
    assert.equal(await isAnswered(port), false);
    const gone = gate.open;
    known.destroy();
    assert.equal(gone, 1);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('one address does not take the places of all', async () => {
  const server = createServer((_request, response) => response.end());
  const gate = limitConnections(server, { total: 10, perAddress: 2 });
  const port = await listening(server);
  try {
    const greedy = await Promise.all([1, 2, 3, 4].map(() => opened(port, '127.0.0.2')));
    await Promise.race(greedy.map((socket) => once(socket, 'close')));
    assert.ok(await isAnswered(port));
    assert.ok(gate.refused >= 1);
    for (const socket of greedy) socket.destroy();
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
