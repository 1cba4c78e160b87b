// Uploads that the other side ends amid the body, over real sockets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { ApiError, connect } from './api.ts';

/** What an upload to one that reads some of it, answers that, and reads no more, ends with. */
async function cutUpload(answer: string): Promise<ApiError> {
  const server = createServer((socket) => {
    let read = 0;
    socket.on('error', () => undefined);
    socket.on('data', (piece) => {
      read += piece.length;
      if (read < 1 << 20) return;
      socket.pause().removeAllListeners('data');
      if (answer === '') socket.resetAndDestroy();
      else socket.write(answer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return await upload(port).finally(() => server.close());
}

async function upload(port: number): Promise<ApiError> {
  const api = connect({
    url: `http://127.0.0.1:${port}`,
    token: () => ({ token: 'secret', from: '--token' }),
    signal: new AbortController().signal,
  });
  const piece = Buffer.alloc(1 << 18);
  const stream = Readable.from(Array.from({ length: 128 }, () => piece));
  const error: unknown = await api.ask({ method: 'POST', path: '/v1/images', query: { name: 'web' }, stream }).then(
    () => undefined,
    (refused: unknown) => refused,
  );
  assert.ok(error instanceof ApiError, String(error));
  return error;
}

test('an upload that is cut says so, and sends nobody to start a controller', async () => {
  const { code, status, message } = await cutUpload('');
  assert.deepEqual([code, status], ['upload-cut', 0]);
  assert.match(
    message,
    /^the upload was cut by the controller at http:\S+ \(\w+\), which gave no answer: look at its log/,
  );
});

test("an upload that is refused amid its body ends with the controller's sentence", async () => {
  const body = JSON.stringify({ detail: 'the disk has no room', code: 'disk-full' });
  const head = `HTTP/1.1 507 Full\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
  const { code, status, message } = await cutUpload(head + body);
  assert.deepEqual([code, status, message], ['disk-full', 507, 'the disk has no room']);
});

test('an upload to nobody is told where to find a controller', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const { code, message } = await upload(port);
  assert.equal(code, 'unreachable');
  assert.match(message, /^cannot reach a controller at/);
});
