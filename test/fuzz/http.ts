import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect as tcp, type Socket } from 'node:net';
import { type Random, mutated } from './random.ts';

/** A server under fuzz: how to reach it, and what an honest client asks of it. */
export interface Target {
  connect: () => Socket;
  /** A connection whose server waits for more is let go after this: a TLS handshake takes longer than a request. */
  patienceMs: number;
  /** Whole requests, as bytes. */
  requests: readonly [Buffer, ...Buffer[]];
  /** Whether an honest client is still answered. */
  answers(): Promise<boolean>;
}

/** Fewer than the boot server grants one board. */
const together = 8;

/**
 * Requests mutated, cut, random, with huge heads, left open, to a real server over loopback, some connections at a time.
 * Returns how many connections were answered with anything.
 */
export async function fuzzHttp(target: Target, { count, random }: { count: number; random: Random }): Promise<number> {
  let answered = 0;
  for (let round = 0; round < count; round += together) {
    const batch = Array.from({ length: Math.min(together, count - round) }, () => bytesOf(random, target));
    const heard = await Promise.all(batch.map((bytes) => send(bytes, target)));
    answered += heard.filter(Boolean).length;
  }
  if (!(await target.answers())) throw new Error('the server no longer answers an honest request');
  return answered;
}

function bytesOf(random: Random, { requests }: Target): Buffer {
  const honest = random.pick(requests);
  return random.pick([
    () => mutated(honest, random),
    () => mutated(honest, random),
    () => honest.subarray(0, random.integer(honest.length)),
    () => Buffer.concat([honest, honest, mutated(honest, random)]),
    () => random.bytes(random.integer(2000)),
    () =>
      Buffer.concat([
        honest.subarray(0, honest.indexOf('\r\n') + 2),
        Buffer.from(`x-long: ${'a'.repeat(random.integer(40_000))}\r\n\r\n`),
      ]),
  ])();
}

/** Whether anything came back. The connection ends with the answer, with the server, or with our patience. */
async function send(bytes: Buffer, { connect, patienceMs }: Target): Promise<boolean> {
  const socket = connect();
  let heard = false;
  const closed = once(socket, 'close').catch(() => undefined);
  socket.on('error', () => socket.destroy()); // a server may well reset what it does not like
  socket.on('data', () => {
    heard = true;
    socket.destroy();
  });
  socket.write(bytes);
  const timer = setTimeout(() => socket.destroy(), patienceMs);
  await closed;
  clearTimeout(timer);
  return heard;
}

export const loopback = (port: number) => (): Socket => tcp(port, '127.0.0.1');

/** One request as bytes, with the length of its body. */
export function requestBytes(
  line: string,
  { headers = {}, body = '' }: { headers?: Record<string, string>; body?: string } = {},
): Buffer {
  const fields = { host: '127.0.0.1', ...headers, ...(body === '' ? {} : { 'content-length': String(body.length) }) };
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${line} HTTP/1.1\r\n${head.join('')}\r\n${body}`);
}

/** The status of an honest GET on a connection of its own. */
export async function statusOf(port: number, path: string): Promise<number> {
  const asked = httpRequest({ host: '127.0.0.1', port, path, agent: false }).end();
  const status = await new Promise<number>((resolve, reject) => {
    asked.once('error', reject).once('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
  });
  return status;
}
