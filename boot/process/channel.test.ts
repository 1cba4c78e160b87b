import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { Type } from 'typebox';
import { openChannel } from './channel.ts';

const schema = Type.Object({ number: Type.Integer() });

/** One end as a channel, the other as it is. */
async function pair(): Promise<{
  heard: number[];
  ended: Promise<string>;
  send: (message: object) => void;
  raw: Socket;
  [Symbol.asyncDispose]: () => Promise<void>;
}> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const { port }: AddressInfo = Object.assign({ port: 0, family: '', address: '' }, server.address());
  const raw = connect(port, '127.0.0.1');
  raw.on('error', () => undefined);
  const [stream]: Socket[] = await accepted;
  if (stream === undefined) throw new Error('nobody connected');
  const heard: number[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  const channel = openChannel<typeof schema, object>(stream, {
    schema,
    bytesLimit: { line: 1_000, second: 100_000 },
    now: () => 0,
    heard: ({ number }) => heard.push(number),
    ended: resolve,
  });
  return {
    heard,
    ended,
    send: (message) => channel.send(message),
    raw,
    [Symbol.asyncDispose]: async () => {
      channel.close();
      raw.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('lines are heard however they are cut, and the end is told', async () => {
  await using it = await pair();
  for (const part of ['{"num', 'ber":1}\n{"number":2}\n{"number"', ':3}\n']) {
    it.raw.write(part);
    await new Promise(setImmediate);
  }
  it.raw.end();
  assert.equal(await it.ended, 'closed');
  assert.deepEqual(it.heard, [1, 2, 3]);
});

test('who says what it may not is heard no more', async () => {
  const table: [string, RegExp][] = [
    ['{"number":1}\n{"number":"one"}\n{"number":2}\n', /^said what it may not: \{"number":"one"\}/],
    ['{"number":1}\nnumber\n{"number":2}\n', /^said what is no JSON: number/],
    [`{"number":1}\n${'x'.repeat(2_000)}`, /^said a line of more than 1000 bytes/],
    ['{"number":1}\n'.repeat(10_000), /^said more than 100000 bytes a second/],
  ];
  for (const [bytes, why] of table) {
    await using it = await pair();
    it.raw.write(bytes);
    assert.match(await it.ended, why);
    assert.ok(!it.heard.includes(2));
  }
});

test('who does not read is given up before it fills the memory', async () => {
  await using it = await pair();
  it.raw.pause();
  const message = { text: 'x'.repeat(1_000_000) };
  for (let count = 0; count < 100; count++) {
    it.send(message);
    await new Promise(setImmediate);
  }
  assert.equal(await it.ended, 'does not read what it is told');
});
