// For tests: the other end of the agent's protocol, on loopback, made of the same codecs as the controller. It takes joins,
// answers heartbeats with what it was told to permit, serves desired state and images, and keeps what it was sent.
import { createHash, randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { generate } from 'selfsigned';
import { Value } from 'typebox/value';
import { claimedSessionId, isAuthorized, sessionProof } from '../../protocol/agent-authorization.ts';
import { type Desired, JoinRequest, Report } from '../../protocol/api/agent.ts';
import type { ContainerConfiguration } from '../../protocol/api/instances.ts';
import { problemCodeOf, problemOf } from '../../protocol/api/problem.ts';
import {
  claimedSession,
  decodeHeartbeat,
  encodePermit,
  type Heartbeat,
  type OrderToAcknowledge,
  type PermittedCustomer,
} from '../../protocol/roll-call.ts';
import { permitValidityMs } from '../../protocol/timing.ts';
import type { Endpoint } from '../../protocol/ipv4.ts';

export interface ControllerPeer extends AsyncDisposable {
  api: Endpoint;
  udp: Endpoint;
  fingerprint: string;
  /** Spent by a join; put a new one here for another. */
  tokens: Set<string>;
  /** Of sessions given and not lost. */
  keys: Map<string, Buffer>;
  joins: JoinRequest[];
  heartbeats: Heartbeat[];
  reports: Report[];
  /** Answers to heartbeats, or not. */
  answers: boolean;
  customers: PermittedCustomer[];
  orders: OrderToAcknowledge[];
  desired: Desired;
  images: Map<string, Buffer>;
  /** As they are sent, by digest. */
  configurations: Map<string, ContainerConfiguration>;
  /** Requests answered by something other than what they asked for: a status for a path. */
  failures: Map<string, number>;
  /** A permit at once, as an answer to the last heartbeat; gives the bytes. */
  permit(): Buffer;
  /** Any bytes, from the address that permits come from. */
  send(bytes: Uint8Array): void;
  /** Where the last heartbeat came from. */
  node(): Endpoint;
}

export async function controllerPeer(): Promise<ControllerPeer> {
  const { server, socket, ...addresses } = await listen();
  let last: { heartbeat: Heartbeat; from: RemoteInfo } | undefined;
  let sequence = 0n;
  const peer: ControllerPeer = {
    ...addresses,
    tokens: new Set([randomBytes(32).toString('hex')]),
    keys: new Map(),
    joins: [],
    heartbeats: [],
    reports: [],
    answers: true,
    customers: [],
    orders: [],
    desired: { generation: 0, customers: [], instances: [] },
    images: new Map(),
    configurations: new Map(),
    failures: new Map(),
    permit() {
      if (last === undefined) throw new Error('cannot permit: no heartbeat yet');
      sequence += 1n;
      const bytes = permitFor(peer, { heartbeat: last.heartbeat, sequence });
      socket.send(bytes, last.from.port, last.from.address);
      return bytes;
    },
    send(bytes) {
      const { host, port } = peer.node();
      socket.send(bytes, port, host);
    },
    node() {
      if (last === undefined) throw new Error('no heartbeat yet');
      return { host: last.from.address, port: last.from.port };
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  socket.on('message', (bytes, from) => {
    const session = claimedSession(bytes)?.toString('hex');
    const key = session === undefined ? undefined : peer.keys.get(session);
    if (key === undefined) return;
    const heartbeat = decodeHeartbeat(bytes, key);
    peer.heartbeats.push(heartbeat);
    last = { heartbeat, from };
    if (peer.answers) peer.permit();
  });
  server.on('request', (request, response) => void serve(peer, { request, response }));
  return peer;
}

async function listen() {
  const pems = await generate([{ name: 'commonName', value: 'muster' }], { keyType: 'ec', algorithm: 'sha256' });
  const der = Buffer.from(pems.cert.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  const server = createServer({ key: pems.private, cert: pems.cert });
  server.listen(0, '127.0.0.1');
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(socket, 'listening')]);
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('cannot listen on TCP');
  return {
    server,
    socket,
    api: { host: '127.0.0.1', port: bound.port },
    udp: { host: '127.0.0.1', port: socket.address().port },
    fingerprint: createHash('sha256').update(der).digest('hex'),
  };
}

function permitFor(peer: ControllerPeer, { heartbeat, sequence }: { heartbeat: Heartbeat; sequence: bigint }): Buffer {
  const key = peer.keys.get(heartbeat.session.toString('hex'));
  if (key === undefined) throw new Error('cannot permit: the session is lost');
  return encodePermit(
    {
      session: heartbeat.session,
      sequence,
      nonce: heartbeat.nonce,
      generation: BigInt(peer.desired.generation),
      validityMs: permitValidityMs,
      customers: peer.customers,
      orders: peer.orders,
    },
    key,
  );
}

type Answer = [status: number, body: Buffer];

async function serve(
  peer: ControllerPeer,
  { request, response }: { request: IncomingMessage; response: ServerResponse },
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  const { method = '', url: path = '', headers } = request;
  const failure = peer.failures.get(path);
  const [status, body] =
    failure === undefined
      ? answerTo(peer, { method, path, authorization: headers.authorization ?? '', body: Buffer.concat(chunks) })
      : [failure, Buffer.from('{}')];
  response.writeHead(status, { 'content-length': body.length }).end(body);
}

function answerTo(
  peer: ControllerPeer,
  { method, path, authorization, body }: { method: string; path: string; authorization: string; body: Buffer },
): Answer {
  if (path === '/v1/join') return joinNode(peer, parse(body));
  const id = claimedSessionId(authorization) ?? '';
  const key = peer.keys.get(id);
  if (key === undefined || !isAuthorized(authorization, { session: { id, key }, method, path })) return json(401, {});
  if (path.endsWith('/desired')) return json(200, peer.desired);
  const configuration = peer.configurations.get(path.slice(path.lastIndexOf('/') + 1));
  if (path.includes('/configurations/'))
    return configuration === undefined ? refusal(404, 'no such configuration') : json(200, configuration);
  if (path.endsWith('/report')) {
    const report = parse(body);
    if (!Value.Check(Report, report)) return refusal(400, 'no Report');
    peer.reports.push(report);
    return json(200, {});
  }
  const image = peer.images.get(path.replace('/v1/squashfs/', ''));
  return image === undefined ? json(404, {}) : [200, image];
}

function joinNode(peer: ControllerPeer, body: unknown): Answer {
  if (!Value.Check(JoinRequest, body)) return refusal(400, 'no JoinRequest');
  peer.joins.push(body);
  const { session, token, mac, bootId } = body;
  const old = session && peer.keys.get(session.id);
  if (session !== undefined && old !== undefined && session.proof === sessionProof(old, { mac, bootId }))
    return json(200, { name: 'node-peer', session: session.id, key: old.toString('hex') });
  if (token === undefined || !peer.tokens.delete(token)) return refusal(401, 'unknown token');
  const id = randomBytes(16).toString('hex');
  const key = randomBytes(32);
  peer.keys.set(id, key);
  return json(200, { name: 'node-peer', session: id, key: key.toString('hex') });
}

function refusal(status: number, detail: string): Answer {
  return json(status, problemOf({ status, code: problemCodeOf(status), detail }));
}

function json(status: number, value: unknown): Answer {
  return [status, Buffer.from(JSON.stringify(value))];
}

function parse(bytes: Buffer): unknown {
  return JSON.parse(bytes.toString('utf8'));
}
