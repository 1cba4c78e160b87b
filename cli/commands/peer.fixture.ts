// A small peer that checks requests by the same schemas as the controller, over real HTTP, and the program that asks it.
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import fastify, { type FastifyInstance } from 'fastify';
import { Approval } from '../../protocol/api/approvals.ts';
import { Customer, CustomerSpec } from '../../protocol/api/customers.ts';
import { Image, imageRoutes as described } from '../../protocol/api/images.ts';
import { Instance, type InstanceState } from '../../protocol/api/instances.ts';
import { Node, NodePatch } from '../../protocol/api/nodes.ts';
import { OperatorSpec } from '../../protocol/api/operators.ts';
import { KillOrder, KillRequest, LiftRequest } from '../../protocol/api/orders.ts';
import type { Status } from '../../protocol/api/status.ts';
import { type ChangedWorkload, Workload, WorkloadSpec, WorkloadPatch } from '../../protocol/api/workloads.ts';
import { runCommandLine } from '../run.ts';

export const now = 1_800_000_000_000;
const mac = '02:00:00:c2:00:01';
export const node: Node = {
  mac,
  name: 'node-c20001',
  slot: 1,
  state: 'ready',
  since: now - 90_000,
  reason: 'joined',
  stage: 'joined',
  firmware: 'uboot',
  ip: '10.77.0.51',
  bootId: 'b',
  serial: 'HKC2',
  fenced: false,
  placement: 'open',
  labels: {},
  lastHeartbeatAt: now,
  bootDurationMs: 41_000,
  instances: 1,
  customers: ['acme'],
  facts: {
    model: 'ODROID-C2',
    cpu: 'Cortex-A53',
    cores: 4,
    memoryBytes: 2 ** 31,
    kernel: '6.12',
    interfaces: [{ name: 'eth0', mac, ip: '10.77.0.51', speedMbps: 1000 }],
  },
  sample: {
    cpu: 0.25,
    cpuPerCore: [1, 0, 0, 0],
    memoryUsedBytes: 200 << 20,
    memoryTotalBytes: 1977 << 20,
    temperatureCelsius: 43,
    uptimeSeconds: 90,
    rxBytesPerSecond: 1024,
    txBytesPerSecond: 2048,
    agentRssBytes: 59 << 20,
    permitThreadDelayMs: 3,
  },
};
const customer: Customer = {
  name: 'acme',
  onSilence: 'stop',
  memoryBytes: 768 << 20,
  processes: 512,
  uidBase: 1_000_000,
  createdAt: now,
  killedBy: null,
  workloads: 1,
  instances: 1,
  running: 1,
};
const image: Image = {
  name: 'web',
  digest: 'a'.repeat(64),
  architecture: 'arm64',
  importedAt: now - 5000,
  squashfs: { sha256: 'b'.repeat(64), sizeBytes: 1 << 20 },
  config: { entrypoint: ['/usr/bin/web'], cmd: [], env: [], workingDir: '/', user: '0:0' },
};
const workload: Workload = {
  customer: 'acme',
  name: 'web',
  image: 'web',
  replicas: 1,
  command: null,
  env: ['A'],
  port: 8080,
  memoryBytes: 64 << 20,
  cpu: 0.5,
  processes: 64,
  user: null,
  capabilities: ['CHOWN'],
  stopSignal: null,
  stopGraceMs: 10_000,
  stopped: false,
  checks: {},
  update: { maxSurge: 1, deadlineMs: 180_000, drainMs: 5_000 },
  placement: {},
  onSilence: 'stop',
  createdAt: now,
  revision: 1,
  running: 1,
  ready: 1,
  updated: 1,
  problem: '',
};
const changed: ChangedWorkload = { ...workload, changes: ['replicas 2 → 1'] };
const instance: Instance = {
  id: 'web-00000001',
  customer: 'acme',
  workload: 'web',
  node: mac,
  nodeName: 'node-c20001',
  state: 'running',
  reason: '',
  ready: true,
  since: now - 2000,
  restarts: 0,
  endpoint: 'http://10.77.0.51:20000',
};
const order: KillOrder = {
  number: 3,
  scope: 'acme',
  reason: 'why',
  by: 'anna',
  at: now,
  liftedAt: null,
  liftedBy: null,
  stored: true,
  nodes: 2,
  stopped: 0,
  slowestMs: null,
  unacknowledged: ['node-a', 'node-b'],
  holding: [],
};

export const approval: Approval = {
  id: 7,
  action: 'kill',
  scope: '*',
  reason: 'fire',
  by: 'anna',
  at: now,
  expiresAt: now + 600_000,
};

export const status: Status = {
  version: '0.1.0',
  startedAt: now - 60_000,
  startupMs: 900,
  rack: 'rack-1',
  nodes: { ready: 2, lost: 0 },
  customers: 1,
  instances: 1,
  running: 1,
  standingOrders: 1,
  problems: [],
  twoPersonRule: false,
  lastDrill: null,
};

interface PeerState {
  /** The two-person rule: a lift and a kill of everything are answered with an approval. */
  waits: boolean;
  /** Answers to `GET /v1/kill/3`, one after the other; the last stays. */
  kill: Partial<KillOrder>[];
  /** Instances' states in successive answers; the last stays. */
  states: InstanceState[];
  killedBy: number | null;
}

interface Asked {
  line: string;
  body: unknown;
}

export async function peer(state: Partial<PeerState> = {}) {
  const { app, requests } = strictApp();
  app.addHook('onRequest', async (request, reply) => {
    if (request.method === 'GET' || request.headers.authorization === 'Bearer secret') return undefined;
    return reply.status(401).send({ error: 'cannot change anything without the token' });
  });
  app.get('/v1/status', () => status);
  app.get('/v1/events', () => ({ events: [{ id: 1, at: now, kind: 'node', subject: mac, message: 'ready: joined' }] }));
  nodeRoutes(app);
  customerRoutes(app, state);
  imageRoutes(app);
  workloadRoutes(app, { state, requests });
  orderRoutes(app, state);
  operatorRoutes(app);
  return { requests, ...(await listening(app)) };
}

/** Refuses what a schema does not allow; `requests` are those that it has let in. */
export function strictApp(): { app: FastifyInstance; requests: Asked[] } {
  const requests: Asked[] = [];
  const app = fastify({
    forceCloseConnections: true,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  });
  app.addHook('preHandler', async (request) => {
    requests.push({ line: `${request.method} ${request.url}`, body: request.body });
  });
  // oxlint-disable-next-line max-params -- fastify's signature
  app.setErrorHandler((error, _request, reply) => {
    void reply.status(400).send({ error: error instanceof Error ? error.message : String(error) });
  });
  return { app, requests };
}

export async function listening(app: FastifyInstance): Promise<AsyncDisposable & { url: string }> {
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => app.close() };
}

function next<T>(list: T[]): T | undefined {
  return list.length > 1 ? list.shift() : list[0];
}

function nodeRoutes(app: FastifyInstance): void {
  app.get('/v1/nodes', () => ({ nodes: [node] }));
  app.get<{ Params: { node: string } }>('/v1/nodes/:node', (request, reply) =>
    request.params.node === node.name
      ? node
      : reply.status(404).send({ error: `there is no node ${request.params.node}` }),
  );
  app.patch('/v1/nodes/:node', { schema: { body: NodePatch } }, (request) => ({
    ...node,
    ...(request.body as object),
  }));
  app.delete('/v1/nodes/:node', () => ({}));
}

function customerRoutes(app: FastifyInstance, state: Partial<PeerState>): void {
  app.get('/v1/customers', () => ({ customers: [{ ...customer, killedBy: state.killedBy ?? null }] }));
  app.post('/v1/customers', { schema: { body: CustomerSpec } }, (_request, reply) => reply.status(201).send(customer));
  app.delete('/v1/customers/:name', () => ({}));
}

function imageRoutes(app: FastifyInstance): void {
  app.addContentTypeParser('application/octet-stream', async () => undefined);
  app.get('/v1/images', () => ({ images: [image], imports: [], used: { web: ['acme/web', 'acme/more'] } }));
  app.get('/v1/images/:name', () => ({
    image: { ...image, history: [{ digest: 'b'.repeat(64), squashfs: image.squashfs, importedAt: image.importedAt }] },
    usedBy: [{ workload: 'acme/web', digest: 'b'.repeat(64), instances: 2 }],
    sharedWith: [],
  }));
  app.post<{ Body: { name: string } }>(
    '/v1/images/pull',
    { schema: { body: described.pullImage.schema.body } },
    (request, reply) => reply.status(201).send({ ...image, name: request.body.name }),
  );
  app.post('/v1/images/prune', { schema: { body: described.pruneImages.schema.body } }, () => ({
    removed: ['old'],
    freedBytes: 2 ** 20,
    keptBytes: 2 ** 21,
  }));
  app.post<{ Querystring: { name: string } }>('/v1/images', { bodyLimit: 1 << 30 }, async (request, reply) => {
    let sizeBytes = 0;
    for await (const chunk of request.raw) sizeBytes += Buffer.isBuffer(chunk) ? chunk.length : 0;
    const squashfs = { ...image.squashfs, sizeBytes };
    return reply.status(201).send({ ...image, name: request.query.name, squashfs });
  });
  app.delete('/v1/images/:name', () => ({}));
}

function workloadRoutes(
  app: FastifyInstance,
  { state, requests }: { state: Partial<PeerState>; requests: readonly Asked[] },
): void {
  app.get('/v1/workloads', () => ({ workloads: [workload] }));
  app.get('/v1/workloads/:customer/:name', (_request, reply) =>
    requests.some(({ line }) => line.startsWith('PUT')) ? workload : reply.status(404).send({ error: 'there is none' }),
  );
  app.put('/v1/workloads/:customer/:name', { schema: { body: WorkloadSpec } }, () => changed);
  app.patch('/v1/workloads/:customer/:name', { schema: { body: WorkloadPatch } }, () => changed);
  app.delete('/v1/workloads/:customer/:name', () => ({}));
  app.get('/v1/workloads/:customer/:name/logs', () => ({
    lines: [{ at: now, instance: instance.id, stream: 'stdout', text: 'hello \u001b[31mworld' }],
    before: null,
    last: 1,
  }));
  app.get('/v1/instances', () => {
    const now = next(state.states ?? ['running']);
    return { instances: [{ ...instance, state: now, ready: now === 'running' }] };
  });
}

function orderRoutes(app: FastifyInstance, state: Partial<PeerState>): void {
  app.post<{ Body: KillRequest }>('/v1/kill', { schema: { body: KillRequest } }, (request, reply) =>
    request.body.customer === 'nobody'
      ? reply.status(409).send({ error: 'there is no customer nobody' })
      : state.waits === true && request.body.everything === true
        ? reply.status(202).send(approval)
        : reply.status(201).send({ ...order, scope: request.body.customer ?? '*' }),
  );
  app.post('/v1/lift', { schema: { body: LiftRequest } }, (_request, reply) =>
    state.waits === true
      ? reply.status(202).send({ ...approval, action: 'lift', scope: 'acme' })
      : reply.status(200).send({ ...order, liftedAt: now, liftedBy: 'anna' }),
  );
  app.get('/v1/kill', () => ({ orders: [order] }));
  const entry = {
    evidence: 'receipt',
    sentAfterMs: 2,
    stoppedAfterMs: 5,
    evidenceAfterMs: 12,
    processes: 3,
    escalation: [],
  };
  app.get('/v1/kill/:number', () => ({
    ...order,
    ...next(state.kill ?? []),
    timeline: [{ mac, name: 'node-a', ...entry }],
  }));
}

function operatorRoutes(app: FastifyInstance): void {
  const operator = { name: 'anna', createdAt: now, role: 'operator', customer: null, expiresAt: null };
  app.get('/v1/operators', () => ({ operators: [operator] }));
  app.post('/v1/operators', { schema: { body: OperatorSpec } }, (_request, reply) =>
    reply.status(201).send({ ...operator, token: 'f00d' }),
  );
  app.delete('/v1/operators/:operator', () => ({}));
  app.get('/v1/approvals', () => ({ approvals: [approval] }));
  app.post('/v1/approvals/7', (_request, reply) => reply.status(201).send(order));
  app.post('/v1/approvals/8', () => ({ ...order, liftedAt: now, liftedBy: 'anna, approved by ben' }));
  app.delete('/v1/approvals/7', () => ({}));
}

interface Ran {
  code: number;
  out: string;
  err: string;
}

export interface Where {
  url: string;
  token?: string | undefined;
  tty?: boolean;
  colours?: boolean;
  signal?: AbortSignal;
  monotonic?: () => number;
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export async function muster(line: string | string[], where: Where): Promise<Ran> {
  const { url, token = 'secret', tty = false, signal = new AbortController().signal } = where;
  const ran = { code: -1, out: '', err: '' };
  ran.code = await runCommandLine(typeof line === 'string' ? line.split(' ') : line, {
    output: { out: (text) => (ran.out += text), err: (text) => (ran.err += text), tty, colours: where.colours },
    signal,
    variables: { url },
    readToken: (directory) => (directory === 'has-token' && token !== '' ? { token } : undefined),
    stateDirectories: ['has-none', 'has-token'],
    now: () => now,
    monotonic: where.monotonic ?? (() => performance.now()),
    sleep: where.sleep ?? ((ms, stop) => sleep(ms, undefined, { signal: stop })),
  });
  return ran;
}
