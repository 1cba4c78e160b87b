// A program: what a stranger, or a client that does nothing, may do to a controller by TCP. Ends by itself.
//
//   node attacks.ts bodies HOST PORT PATH COUNT     1 MB of JSON with half a million wrong items, COUNT at once, over TLS
//   node attacks.ts deep HOST PORT PATH COUNT       1 MB of opening brackets
//   node attacks.ts idle tls|tcp HOST PORT COUNT    opens so many connections, waits 2 s, closes them all
import { once } from 'node:events';
import { connect as tcp, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as tls } from 'node:tls';

const [kind = '', ...rest] = process.argv.slice(2);
const patienceMs = 60_000;

async function main(): Promise<void> {
  switch (kind) {
    case 'bodies': {
      const [host = '', port = '', path = '', count = '1'] = rest;
      const items = `[${'1,'.repeat(499_000)}1]`;
      const body = path.endsWith('join') ? `{"facts":{"interfaces":${items}}}` : `{"instances":${items}}`;
      return send({ host, port: Number(port), path, count: Number(count), body });
    }
    case 'deep': {
      const [host = '', port = '', path = '', count = '1'] = rest;
      return send({ host, port: Number(port), path, count: Number(count), body: '['.repeat(1_000_000) });
    }
    case 'idle': {
      const [protocol = 'tcp', host = '', port = '', count = '1'] = rest;
      return idle(protocol, { host, port: Number(port), count: Number(count) });
    }
    default:
      throw new Error(`there is no attack ${kind}`);
  }
}

interface Sending {
  host: string;
  port: number;
  path: string;
  count: number;
  body: string;
}

async function send({ host, port, path, count, body }: Sending): Promise<void> {
  const text =
    `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\n` +
    `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`;
  const heard = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = tls({ host, port, rejectUnauthorized: false });
      let bytes = 0;
      let first = '';
      socket.on('data', (chunk: Buffer) => {
        first ||= chunk.toString('latin1', 0, 12);
        bytes += chunk.length;
      });
      socket.on('error', () => undefined);
      socket.setTimeout(patienceMs, () => socket.destroy());
      socket.write(text);
      await once(socket, 'close').catch(() => undefined);
      return { first, bytes };
    }),
  );
  process.stdout.write(`${heard.map(({ first, bytes }) => `${first || 'cut'}: ${bytes} bytes`).join(', ')}\n`);
}

async function idle(protocol: string, { count, ...to }: { host: string; port: number; count: number }): Promise<void> {
  const sockets: Socket[] = [];
  let open = 0;
  let ended = 0;
  for (let i = 0; i < count; i++) {
    const socket = protocol === 'tls' ? tls({ ...to, rejectUnauthorized: false }) : tcp(to);
    socket.once(protocol === 'tls' ? 'secureConnect' : 'connect', () => open++);
    socket.on('error', () => undefined);
    socket.once('close', () => ended++);
    sockets.push(socket);
    if (i % 50 === 0) await delay(1);
  }
  for (const limit = performance.now() + patienceMs / 2; open + ended < count && performance.now() < limit;)
    await delay(50);
  await delay(2_000);
  process.stdout.write(`${open} opened, ${ended} closed by the other end\n`);
  for (const socket of sockets) socket.destroy();
}

await main();
