// The commands against a small peer that checks requests by the same schemas as the controller, over real HTTP.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fastify from 'fastify';
import { Approval } from '../../protocol/api/approvals.ts';
import { Customer, CustomerSpec } from '../../protocol/api/customers.ts';
import { Image } from '../../protocol/api/images.ts';
import { Instance, type InstanceState } from '../../protocol/api/instances.ts';
import { LogLine } from '../../protocol/api/logs.ts';
import { Node, NodePatch } from '../../protocol/api/nodes.ts';
import { OperatorSpec } from '../../protocol/api/operators.ts';
import { KillOrder, KillRequest, LiftRequest } from '../../protocol/api/orders.ts';
import { Workload, WorkloadSpec, WorkloadPatch } from '../../protocol/api/workloads.ts';
import { newLines } from './workloads.ts';
import { runCommandLine } from '../run.ts';

const now = 1_800_000_000_000;
const mac = '02:00:00:c2:00:01';
const node: Node = {
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
  onSilence: 'stop',
  createdAt: now,
  running: 1,
  updated: 1,
  problem: '',
};
const instance: Instance = {
  id: 'web-00000001',
  customer: 'acme',
  workload: 'web',
  node: mac,
  nodeName: 'node-c20001',
  state: 'running',
  reason: '',
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

const approval: Approval = {
  id: 7,
  action: 'kill',
  scope: '*',
  reason: 'fire',
  by: 'anna',
  at: now,
  expiresAt: now + 600_000,
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

function next<T>(list: T[]): T | undefined {
  return list.length > 1 ? list.shift() : list[0];
}

async function peer(state: Partial<PeerState> = {}) {
  const requests: { line: string; body: unknown }[] = [];
  const app = fastify({ ajv: { customOptions: { removeAdditional: false, coerceTypes: false } } });
  app.addHook('onRequest', (request, reply, done) => {
    if (request.method !== 'GET' && request.headers.authorization !== 'Bearer secret') {
      void reply.status(401).send({ error: 'cannot change anything without the token' });
    } else done();
  });
  app.addContentTypeParser('application/octet-stream', (_request, _payload, done) => done(null));
  app.addHook('preHandler', (request, _reply, done) => {
    requests.push({ line: `${request.method} ${request.url}`, body: request.body });
    done();
  });
  app.setErrorHandler((error, _request, reply) => {
    void reply.status(400).send({ error: error instanceof Error ? error.message : String(error) });
  });

  app.get('/v1/status', () => ({
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
  }));
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
  app.get('/v1/customers', () => ({ customers: [{ ...customer, killedBy: state.killedBy ?? null }] }));
  app.post('/v1/customers', { schema: { body: CustomerSpec } }, (_request, reply) => reply.status(201).send(customer));
  app.delete('/v1/customers/:name', () => ({}));
  app.get('/v1/images', () => ({ images: [image], imports: [] }));
  app.post<{ Querystring: { name: string } }>('/v1/images', { bodyLimit: 1 << 30 }, async (request, reply) => {
    let sizeBytes = 0;
    for await (const chunk of request.raw) sizeBytes += Buffer.isBuffer(chunk) ? chunk.length : 0;
    const squashfs = { ...image.squashfs, sizeBytes };
    return reply.status(201).send({ ...image, name: request.query.name, squashfs });
  });
  app.delete('/v1/images/:name', () => ({}));
  app.get('/v1/workloads', () => ({ workloads: [workload] }));
  app.get('/v1/workloads/:customer/:name', (_request, reply) =>
    requests.some(({ line }) => line.startsWith('PUT')) ? workload : reply.status(404).send({ error: 'there is none' }),
  );
  app.put('/v1/workloads/:customer/:name', { schema: { body: WorkloadSpec } }, () => workload);
  app.patch('/v1/workloads/:customer/:name', { schema: { body: WorkloadPatch } }, () => workload);
  app.delete('/v1/workloads/:customer/:name', () => ({}));
  app.get('/v1/workloads/:customer/:name/logs', () => ({
    lines: [{ at: now, instance: instance.id, stream: 'stdout', text: 'hello \u001b[31mworld' }],
    before: null,
  }));
  app.get('/v1/instances', () => ({ instances: [{ ...instance, state: next(state.states ?? ['running']) }] }));
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
  const operator = { name: 'anna', createdAt: now };
  app.get('/v1/operators', () => ({ operators: [operator] }));
  app.post('/v1/operators', { schema: { body: OperatorSpec } }, (_request, reply) =>
    reply.status(201).send({ ...operator, token: 'f00d' }),
  );
  app.delete('/v1/operators/:operator', () => ({}));
  app.get('/v1/approvals', () => ({ approvals: [approval] }));
  app.post('/v1/approvals/7', (_request, reply) => reply.status(201).send(order));
  app.post('/v1/approvals/8', () => ({ ...order, liftedAt: now, liftedBy: 'anna, approved by ben' }));
  app.delete('/v1/approvals/7', () => ({}));
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
  app.get('/v1/events', () => ({ events: [{ id: 1, at: now, kind: 'node', subject: mac, message: 'ready: joined' }] }));
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, requests, [Symbol.asyncDispose]: () => app.close() };
}

interface Ran {
  code: number;
  out: string;
  err: string;
}

interface Where {
  url: string;
  token?: string | undefined;
  tty?: boolean;
  colours?: boolean;
  signal?: AbortSignal;
  monotonic?: () => number;
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

async function muster(line: string | string[], where: Where): Promise<Ran> {
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

describe('muster', () => {
  const shown: [line: string, wanted: RegExp][] = [
    ['status', /nodes +2 ready\n.*\n.*\norders +1 kill order stands/],
    [
      'nodes',
      /^SLOT +NAME.*\n +1 +node-c20001 +02:00:00:c2:00:01 +10\.77\.0\.51 +ready +2 min +joined +25% +200M\/1\.9G +1 +acme\n$/,
    ],
    ['node node-c20001', /model +ODROID-C2/],
    ['node rename node-c20001 west-1', /^west-1 \(02:00:00:c2:00:01\) has that name now\n$/],
    ['node fence node-c20001', /is fenced/],
    ['node unfence node-c20001', /no longer fenced/],
    ['node remove node-c20001', /forgotten/],
    ['customers', /acme +may run +1\/1 +1 +768M +512 +stop/],
    ['customer add acme --on-silence hold --memory 1G --processes 64', /customer acme is there/],
    ['customer remove acme', /removed/],
    ['images', /web +aaaaaaaaaaaa +arm64 +1M +\/usr\/bin\/web +5\.0 s ago/],
    ['image remove web', /removed/],
    [
      'deploy acme/web --image web',
      /acme\/web runs: 1 of web after .*\n {2}node-c20001 {2}http:\/\/10\.77\.0\.51:20000/,
    ],
    ['deploy acme/web --image web --no-wait', /stored: 1 of web wanted/],
    ['ps', /web-00000001 +acme\/web +node-c20001 +running +2\.0 s +0 +http/],
    ['ps acme', /web-00000001/],
    ['logs acme/web', /web-00000001 hello \u{fffd}\[31mworld/u],
    ['rm acme/web', /removed/],
    ['kills', /3 +acme +stands/],
    ['kill show 3', /node-a +02:00:00:c2:00:01 +2 ms +5 ms +12 ms +receipt +3 +-/],
    ['lift acme', /order 3 is lifted: acme may run again/],
    ['approvals', /7 +stop everything +anna +.* +10 min +fire/],
    ['approve 8', /order 3 is lifted/],
    ['withdraw 7', /request 7 is withdrawn/],
    ['operators', /anna/],
    ['operator add anna', /shown only now:\nf00d\n$/],
    ['operator rm anna', /operator anna is removed/],
    ['events', /node +02:00:00:c2:00:01: ready: joined/],
  ];
  for (const [line, wanted] of shown) {
    test(`${line} says so in words, and with --json in JSON`, async () => {
      await using there = await peer();
      const { code, out, err } = await muster(line, there);
      assert.equal(code, 0, err);
      assert.match(out, wanted);
      const json = await muster(`${line} --json`, there);
      assert.equal(json.code, 0, json.err);
      assert.equal(typeof JSON.parse(json.out), 'object');
    });
  }

  test('customer add, deploy, kill and lift send what was said', async () => {
    await using there = await peer({ kill: [{ stopped: 2, slowestMs: 5, unacknowledged: [] }] });
    await muster('customer add acme --on-silence hold --memory 1G --processes 64', there);
    const deploy =
      'deploy acme/web --image web --replicas 2 --port 8080 --memory 64M --cpu 0.5 --processes 9 --env A=1=2 --no-wait -- run it';
    await muster(deploy, there);
    await muster(['kill', '--everything', '--reason', 'a drill'], there);
    await muster('lift --everything', there);
    assert.deepEqual(
      there.requests.filter(({ line }) => !line.startsWith('GET')),
      [
        { line: 'POST /v1/customers', body: { name: 'acme', onSilence: 'hold', memoryBytes: 2 ** 30, processes: 64 } },
        {
          line: 'PUT /v1/workloads/acme/web',
          body: {
            image: 'web',
            replicas: 2,
            port: 8080,
            memoryBytes: 2 ** 26,
            cpu: 0.5,
            processes: 9,
            env: { A: '1=2' },
            command: ['run', 'it'],
          },
        },
        { line: 'POST /v1/kill', body: { everything: true, reason: 'a drill' } },
        { line: 'POST /v1/lift', body: { everything: true } },
      ],
    );
  });

  test('refusals are the sentence of the controller, exit code 1', async () => {
    await using there = await peer();
    assert.deepEqual(await muster('node nowhere', there), {
      code: 1,
      out: '',
      err: 'muster: there is no node nowhere\n',
    });
    const { code, err } = await muster('kill nobody', there);
    assert.deepEqual([code, err], [1, 'muster: there is no customer nobody\n']);
    assert.match((await muster('ps nobody', there)).err, /there is no customer nobody/);
  });

  test('without a token, or with a wrong one, it says where they come from', async () => {
    await using there = await peer();
    const none = await muster('customer remove acme', { url: there.url, token: '' });
    assert.equal(none.code, 1);
    assert.match(
      none.err,
      /wants an operator's token, and none was found \(neither --token nor \$MUSTER_TOKEN; not in has-none, /,
    );
    const wrong = await muster('customer remove acme --token x', there);
    assert.match(wrong.err, /does not know the token from --token: want --token, .*muster operator add NAME\n$/);
  });

  test('wrong usage is exit code 2', async () => {
    await using there = await peer();
    for (const line of ['nods', 'kill', 'kill acme --everything', 'deploy web --image web', 'logs a/b --tail x']) {
      const { code, err } = await muster(line, there);
      assert.equal(code, 2, line);
      assert.match(err, /^muster: .*\n$/, line);
    }
    assert.deepEqual(there.requests, []);
  });

  test('with --json an error is one line of JSON on standard error, with a code', async () => {
    await using there = await peer();
    const table: [line: string, exit: number, error: { code: string; status?: number }, where: Where][] = [
      ['nods --json', 2, { code: 'usage' }, there],
      ['deploy acme/web --port 0 --json', 2, { code: 'usage' }, there],
      ['node nowhere --json', 1, { code: 'refused', status: 404 }, there],
      ['customer remove acme --token x --json', 1, { code: 'unauthorized', status: 401 }, there],
      ['nodes --json', 1, { code: 'unreachable' }, { url: 'http://127.0.0.1:9' }],
    ];
    for (const [line, exit, wanted, where] of table) {
      const { code, out, err } = await muster(line, where);
      assert.deepEqual([code, out], [exit, ''], line);
      assert.match(err, /^\{.*\}\n$/, line);
      const { error, ...rest } = JSON.parse(err);
      assert.deepEqual([typeof error, rest], ['string', wanted], line);
    }
  });

  test('an answer that is not as described is no answer', async () => {
    const app = fastify();
    app.get('/v1/nodes', () => ({ nodes: [{ ...node, slot: 'one' }] }));
    app.get('/v1/customers', (_request, reply) => reply.type('text/html').send('<p>Welcome'));
    await app.listen({ host: '127.0.0.1', port: 0 });
    await using _closing = { [Symbol.asyncDispose]: () => app.close() };
    const { port } = app.server.address() as AddressInfo;
    for (const line of ['nodes', 'customers'])
      assert.match(
        (await muster(line, { url: `http://127.0.0.1:${port}` })).err,
        /cannot understand the answer to GET .*: is the controller at .* another version/,
      );
  });

  test('problem+json: the detail is the sentence, its code the code', async () => {
    const app = fastify();
    app.get('/v1/nodes', (_request, reply) =>
      reply
        .status(503)
        .type('application/problem+json')
        .send({ title: 'Busy', detail: 'cannot answer now', code: 'busy' }),
    );
    await app.listen({ host: '127.0.0.1', port: 0 });
    await using _closing = { [Symbol.asyncDispose]: () => app.close() };
    const { port } = app.server.address() as AddressInfo;
    const { err } = await muster('nodes --json', { url: `http://127.0.0.1:${port}` });
    assert.deepEqual(JSON.parse(err), { error: 'cannot answer now', code: 'busy', status: 503 });
  });

  test('on a terminal good and bad have colours, and data has none', async () => {
    await using there = await peer({ states: ['running'] });
    const { out } = await muster('ps', { ...there, colours: true });
    assert.ok(out.includes('\u001b[32mrunning\u001b[0m'), out);
    const { out: logs } = await muster('logs acme/web', { ...there, colours: true });
    assert.ok(!logs.includes('\u001b'));
  });

  test('nodes --state shows those of a state, and says what the directory is called now', async () => {
    await using there = await peer();
    assert.match((await muster('nodes --state ready', there)).out, /node-c20001/);
    assert.equal((await muster('nodes --state lost', there)).out, 'no node is lost\n');
    const wrong = await muster('nodes --state /var/lib/muster', there);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /want one of seen, .* \(the controller's directory is --state-dir\)/);
    const renamed = await muster('status --state /var/lib/muster', there);
    assert.deepEqual(
      [renamed.code, renamed.err],
      [2, 'muster: there is no option --state, it is --state-dir now (see muster status --help)\n'],
    );
  });

  test('no controller: one sentence that says what to do', async () => {
    const { code, err } = await muster('nodes', { url: 'http://127.0.0.1:9' });
    assert.equal(code, 1);
    assert.match(
      err,
      /^muster: cannot reach a controller at http:\/\/127\.0\.0\.1:9 \(ECONNREFUSED\): start one .*\n$/,
    );
  });
});

describe('muster kill', () => {
  test('counts until all are stopped, exit code 0', async () => {
    const kill = [
      {},
      { stopped: 1, slowestMs: 90, unacknowledged: ['node-b'] },
      { stopped: 2, slowestMs: 143, unacknowledged: [] },
    ];
    await using there = await peer({ kill });
    const { code, out, err } = await muster('kill acme', there);
    assert.equal(code, 0);
    assert.equal(err, '0/2 stopped\n1/2 stopped, slowest 90 ms\n2/2 stopped, slowest 143 ms\n');
    assert.equal(
      out,
      'order 3 stands: acme may not run\n2/2 stopped, slowest 143 ms; it stays so until: muster lift acme\n',
    );
  });

  test('without a controller says what nodes do by themselves, and what to do', async () => {
    const { code, err } = await muster('kill acme', { url: 'http://127.0.0.1:9' });
    assert.equal(code, 1);
    assert.match(err, /^muster: cannot reach a controller at .*\nNO ORDER WAS GIVEN\.\n/);
    assert.match(
      err,
      /a permit ends 3\.0 s after the node asked for it\..*\n.* 4\.5 s after .*; customers that hold\non silence go on\./,
    );
    assert.match(err, /What to do, in this order:\n +1\. /);
    const json = await muster('kill acme --json', { url: 'http://127.0.0.1:9' });
    assert.equal(JSON.parse(json.err).code, 'unreachable');
  });

  test('with --json what did not stop is an error in JSON beside the order', async () => {
    await using there = await peer({ kill: [{ stopped: 1, slowestMs: 90, unacknowledged: ['node-b'] }] });
    let clockMs = 0;
    const clock = { monotonic: () => clockMs, sleep: (ms: number) => Promise.resolve(void (clockMs += ms)) };
    const { code, out, err } = await muster('kill acme --json', { ...there, ...clock });
    assert.deepEqual([code, JSON.parse(out).unacknowledged, JSON.parse(err).code], [1, ['node-b'], 'unacknowledged']);
  });

  test('says what no bound holds for', async () => {
    await using there = await peer({ kill: [{ stopped: 2, slowestMs: 143, unacknowledged: [], holding: ['acme'] }] });
    const { out } = await muster('kill show 3', there);
    assert.match(out, /hold on silence: acme; on a node that hears no controller they run on, and no bound holds/);
  });

  test('of everything, and a lift, say that they wait for a second operator, and how, with exit code 3', async () => {
    await using there = await peer({ waits: true, kill: [{ stopped: 2, slowestMs: 5, unacknowledged: [] }] });
    const asked = await muster('kill --everything', there);
    assert.equal(asked.code, 3);
    assert.match(asked.out, /^everything is NOT stopped yet: .*second operator, until .* UTC\.\n.*muster approve 7\n$/);
    assert.equal((await muster('kill acme', there)).code, 0);
    const lift = await muster('lift acme', there);
    assert.equal(lift.code, 3);
    assert.match(lift.out, /NOT lifted yet.*\n.*muster approve 7\n$/);
    const json = await muster('lift acme --json', there);
    assert.deepEqual([json.code, JSON.parse(json.out).expiresAt], [3, approval.expiresAt]);
    const approved = await muster('approve 7', there);
    assert.equal(approved.code, 0, approved.err);
    assert.match(approved.out, /2\/2 stopped, slowest 5 ms/);
  });

  test('rewrites one line on a terminal', async () => {
    await using there = await peer({ kill: [{ stopped: 2, slowestMs: 143, unacknowledged: [] }] });
    const { err } = await muster('kill acme', { ...there, tty: true });
    assert.equal(err, '\r\u001b[K0/2 stopped\r\u001b[K2/2 stopped, slowest 143 ms\n');
  });

  test('names those that have not acknowledged after 5 s, exit code 1', async () => {
    await using there = await peer({ kill: [{ stopped: 1, slowestMs: 90, unacknowledged: ['node-b'] }] });
    let clockMs = 0;
    const clock = { monotonic: () => clockMs, sleep: (ms: number) => Promise.resolve(void (clockMs += ms)) };
    const { code, err } = await muster('kill acme', { ...there, ...clock });
    assert.equal(code, 1);
    assert.equal(clockMs, 5_000);
    assert.match(
      err,
      /1\/2 stopped, slowest 90 ms after 5\.0 s; unacknowledged: node-b\norder 3 stands and is still being enforced/,
    );
  });

  test('is no success when the last came too late', async () => {
    await using there = await peer({ kill: [{ stopped: 2, slowestMs: 5001, unacknowledged: [] }] });
    const { code, err } = await muster('kill acme', there);
    assert.equal(code, 1);
    assert.match(err, /later than the 5\.0 s/);
  });

  test('interrupted, says that the order stands', async () => {
    await using there = await peer();
    const stop = new AbortController();
    const running = muster('kill acme', { ...there, signal: stop.signal });
    while (there.requests.length < 3) await sleep(5);
    stop.abort();
    const { code, err } = await running;
    assert.equal(code, 130);
    assert.match(err, /order 3 stands and is still being enforced/);
  });
});

describe('muster deploy', () => {
  test('waits for what is on its way', async () => {
    await using there = await peer({ states: ['fetching', 'starting', 'running'] });
    const { code, err } = await muster('deploy acme/web --image web', there);
    assert.equal(code, 0);
    assert.match(err, /0\/1 running|1\/1 running, fetching on node-c20001/);
  });
  test('does not wait for a killed customer', async () => {
    await using there = await peer({ states: ['stopped'], killedBy: 3 });
    const { code, err } = await muster('deploy acme/web --image web', there);
    assert.equal(code, 1);
    assert.match(err, /is stored, but kill order 3 stands/);
  });
  test('gives up after --timeout', async () => {
    await using there = await peer({ states: ['fetching'] });
    const { code, err } = await muster('deploy acme/web --image web --timeout 100ms', there);
    assert.equal(code, 1);
    assert.match(err, /does not run as wanted after 100 ms/);
  });
});

describe('muster image import', () => {
  test('sends a file, a directory as a tar, and says how large; a refused upload gets its sentence', async () => {
    await using there = await peer();
    const directory = await mkdtemp(join(tmpdir(), 'muster-cli-'));
    try {
      const path = join(directory, 'web.tar');
      await writeFile(path, Buffer.alloc(3 << 20));
      const { code, out, err } = await muster(['image', 'import', path], there);
      assert.equal(code, 0, err);
      assert.equal(out, 'image web is there: 3M, aaaaaaaaaaaa\n');
      assert.equal(err, 'sent web: 3M, the controller converts it …\n');

      await mkdir(join(directory, 'layout'));
      await writeFile(join(directory, 'layout', 'index.json'), '{}');
      const layout = await muster(['image', 'import', join(directory, 'layout'), '--name', 'team/app:1'], there);
      assert.match(layout.out, /image team\/app:1 is there: 10K/);

      const refused = await muster(['image', 'import', path, '--token', 'wrong'], there);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /does not know the token from --token/);
      const missing = await muster(['image', 'import', join(directory, 'none.tar')], there);
      assert.match(missing.err, /^muster: cannot import .*none\.tar: there is no such file or directory\n$/);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});

function said(at: number, text: string, of = 'web-00000001'): LogLine {
  return { at, instance: of, stream: 'stdout', text };
}

test('newLines() gives each line once, also when several have one time', () => {
  const fresh = newLines();
  assert.equal(fresh([said(1, 'a'), said(2, 'b')]).length, 2);
  assert.deepEqual(fresh([said(1, 'a'), said(2, 'b'), said(2, 'c')]), [said(2, 'c')]);
  const late = said(1, 'late', 'web-00000002');
  assert.deepEqual(fresh([said(2, 'b'), said(2, 'c'), late, said(3, 'd')]), [late, said(3, 'd')]);
});
