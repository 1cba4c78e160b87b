import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { type TftpPacket, decodeTftp, encodeTftp, errorCode } from './packet.ts';
import { serveTftp, type TftpOptions } from './server.ts';

const address = '127.0.0.1';

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

/** A server of these files, and a client's socket. */
async function pair(files: Record<string, Uint8Array>) {
  const ended: Parameters<TftpOptions['ended']>[0][] = [];
  const socket = await bound();
  const { port } = socket.address();
  const server = serveTftp({
    socket,
    address,
    file: (path) => Promise.resolve(files[path] ?? { missing: 'no such file' }),
    ended: (transfer) => ended.push(transfer),
    log: () => undefined,
  });
  return { server, ended, port, client: new Client(await bound()) };
}

class Client implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #arrived: { packet: TftpPacket; port: number }[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (bytes, { port }) => {
      const packet = decodeTftp(bytes);
      if ('refused' in packet) throw new Error(packet.refused);
      this.#arrived.push({ packet, port });
    });
  }

  send(packet: TftpPacket, port: number): void {
    this.#socket.send(encodeTftp(packet), port, address);
  }

  read(path: string, port: number): void {
    this.send({ op: 'read', path, mode: 'octet', options: new Map() }, port);
  }

  async next(): Promise<{ packet: TftpPacket; port: number }> {
    while (this.#arrived.length === 0) await once(this.#socket, 'message');
    const first = this.#arrived.shift();
    assert.ok(first !== undefined);
    return first;
  }

  /** This block, which is acknowledged. On a busy machine others may come twice. */
  async block(number: number, { notFrom }: { notFrom?: number } = {}): Promise<{ data: Buffer; port: number }> {
    for (;;) {
      const { packet, port } = await this.next();
      assert.ok(packet.op === 'data');
      if (packet.block !== number || port === notFrom) continue;
      this.send({ op: 'ack', block: number }, port);
      return { data: Buffer.from(packet.data), port };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}

const file = Buffer.alloc(1_100, 'muster');

test('a board reads a file in blocks, from a port of its own', async () => {
  const { server, ended, port, client } = await pair({ 'a/file': file });
  await using stack = new AsyncDisposableStack();
  stack.use(server);
  stack.use(client);
  client.read('/a/file', port);
  const blocks = [await client.block(1), await client.block(2), await client.block(3)];
  assert.deepEqual(Buffer.concat(blocks.map(({ data }) => data)), file);
  assert.equal(new Set(blocks.map((block) => block.port)).size, 1);
  assert.notEqual(blocks[0]?.port, port);
  while (server.active() > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(ended, [{ path: 'a/file', ip: address, outcome: 'done', detail: '' }]);
  assert.equal(server.counters.completed, 1);
});

test('a stranger is told that it is not its transfer, which goes on', async () => {
  const { server, port, client } = await pair({ file });
  const stranger = new Client(await bound());
  await using stack = new AsyncDisposableStack();
  stack.use(server);
  stack.use(client);
  stack.use(stranger);
  client.read('file', port);
  const first = await client.block(1);
  stranger.send({ op: 'ack', block: 1 }, first.port);
  const { packet } = await stranger.next();
  assert.ok(packet.op === 'error');
  assert.equal(packet.code, errorCode.unknownTransferId);
  assert.equal(server.counters.strangers, 1);
  assert.equal((await client.block(2)).port, first.port);
});

test('a request that comes again before any progress is the same transfer', async () => {
  const { server, port, client } = await pair({ file });
  await using stack = new AsyncDisposableStack();
  stack.use(server);
  stack.use(client);
  client.read('file', port);
  const first = await client.next();
  client.read('file', port);
  assert.equal((await client.next()).port, first.port);
  assert.equal(server.active(), 1);
});

test('a request that comes again after some progress is a new transfer', async () => {
  const { server, ended, port, client } = await pair({ file });
  await using stack = new AsyncDisposableStack();
  stack.use(server);
  stack.use(client);
  client.read('file', port);
  const former = await client.block(1);
  await client.block(2);
  client.read('file', port);
  const latter = await client.block(1, { notFrom: former.port });
  assert.deepEqual(latter.data, former.data);
  assert.deepEqual(ended, [{ path: 'file', ip: address, outcome: 'failed', detail: 'the board asked anew' }]);
  assert.equal(server.active(), 1);
});

test('what is not there is refused, and is no transfer that ended', async () => {
  const { server, ended, port, client } = await pair({});
  await using stack = new AsyncDisposableStack();
  stack.use(server);
  stack.use(client);
  client.read('file', port);
  const answer = await client.next();
  assert.deepEqual(answer, { packet: { op: 'error', code: errorCode.fileNotFound, message: 'no such file' }, port });
  assert.deepEqual([server.counters.missing, server.active(), ended.length], [1, 0, 0]);
});

test('what is under way ends with the server', async () => {
  const { server, ended, port, client } = await pair({ file });
  await using stack = new AsyncDisposableStack();
  stack.use(client);
  client.read('file', port);
  await client.block(1);
  await server[Symbol.asyncDispose]();
  assert.deepEqual([server.active(), ended.map(({ detail }) => detail)], [0, ['the boot server stops']]);
});
