import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import ssh2 from 'ssh2';
import { newSshKeys } from '../credentials.ts';
import { createNodeShell } from './node-shell.ts';

const mac = '52:54:00:c2:00:01';

test('a board that is reset under an SSH connection costs an answer at most, never the controller', async (t) => {
  const hostKeys = newSshKeys();
  const ours = newSshKeys();
  let answers = true;
  const ssh = new ssh2.Server({ hostKeys: [hostKeys.private] }, (client) => {
    client.on('error', () => undefined); // its client goes away as it likes
    client.on('authentication', (asked) => asked.accept());
    client.on('session', (accept) => {
      accept().on('exec', (acceptCommand) => {
        const stream = acceptCommand();
        if (!answers) return;
        stream.write('fine\n');
        stream.exit(0);
        stream.end();
      });
    });
  });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    ssh.injectSocket(socket);
  });
  t.after(() => {
    server.close();
    for (const socket of sockets) if (!socket.destroyed) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const shell = createNodeShell(ours.private, { port: address.port });
  const node = { mac, ip: '127.0.0.1', hostKey: hostKeys.public } as const;
  const reset = (): void => {
    // One that is being closed cannot be reset: its handle would stay.
    for (const socket of sockets) if (socket.writable) socket.resetAndDestroy();
  };

  assert.deepEqual(await shell.run(node, { command: 'true' }), { stdout: 'fine', stderr: '', code: 0 });
  reset();
  answers = false;
  await assert.rejects(
    shell.run(node, { command: 'true', limits: { connectMs: 5_000, answerMs: 50, answerBytes: 65_536 } }),
    /cannot reach .* by SSH: waited 50 ms/,
  );
  reset();
  // Errors that nobody listens for end the process: they would come now.
  await delay(100);
});
