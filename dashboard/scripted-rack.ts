// A rack out of thin air for the page's own tests: 684 nodes by the API's schemas, and a server that plays the
// stream by a script and notes what the page asks for. It stands in for no room of ours: the same page is tested
// against the real controller in `test/`.
import type { ServerResponse } from 'node:http';
import fastify from 'fastify';
import { Value } from 'typebox/value';
import { Approval } from '../protocol/api/approvals.ts';
import { Drill } from '../protocol/api/drills.ts';
import { Event } from '../protocol/api/events.ts';
import { Instance } from '../protocol/api/instances.ts';
import { Node } from '../protocol/api/nodes.ts';
import { KillOrder, KillTimeline } from '../protocol/api/orders.ts';
import { Sample } from '../protocol/api/samples.ts';
import { Snapshot } from '../protocol/api/stream.ts';
import { lostAfterMs, silentAfterMs } from '../protocol/timing.ts';
import { dashboard } from './plugin.ts';

export const token = 'a-token-for-tests';
const GiB = 2 ** 30;
const minute = 60_000;

/** Repeatable chance: the same nodes in every run, so that two screenshots can be compared. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export function macOf(slot: number): string {
  const hex = slot.toString(16).padStart(4, '0');
  return `02:00:00:c2:${hex.slice(0, 2)}:${hex.slice(2)}`;
}

export function sampleOf(roll: () => number): Sample {
  const cpuPerCore = [roll(), roll(), roll(), roll()].map((share) => Number((share ** 2).toFixed(3)));
  return {
    cpu: cpuPerCore.reduce((sum, share) => sum + share, 0) / 4,
    cpuPerCore,
    memoryUsedBytes: Math.round((0.3 + roll() * 1.2) * GiB),
    memoryTotalBytes: 2 * GiB,
    temperatureCelsius: 41 + roll() * 20,
    uptimeSeconds: 7_000 + Math.round(roll() * 400_000),
    rxBytesPerSecond: roll() * 2e6,
    txBytesPerSecond: roll() * 6e6,
    agentRssBytes: 47 * 2 ** 20,
    permitThreadDelayMs: roll() * 4,
  };
}

/** As the life cycle says it. */
const heardNothing = (ms: number) => `no heartbeat for ${ms / 1000} s`;

const exceptions: Record<number, Partial<Node>> = {
  31: { state: 'seen', stage: 'dhcp-discover', reason: 'asked for an address', ip: null },
  32: { state: 'loading', stage: 'tftp', reason: 'loads its system' },
  33: { state: 'loading', stage: 'kernel', reason: 'loads its system' },
  34: { state: 'loading', stage: 'root', reason: 'loads its system' },
  35: { state: 'joining', stage: 'joined', reason: 'its agent has joined, no heartbeat yet' },
  212: { state: 'silent', reason: heardNothing(silentAfterMs) },
  380: { state: 'lost', reason: heardNothing(lostAfterMs) },
  381: { state: 'loading', stage: 'refused-kernel', reason: 'the kernel it got has the wrong hash' },
  540: { fenced: true, reason: 'fenced by an operator: fan broken' },
};

function nodeOf(slot: number, { now, roll }: { now: number; roll: () => number }): Node {
  const usual: Node = {
    mac: macOf(slot),
    name: `node-c2${macOf(slot).slice(12).replace(':', '')}`,
    slot,
    state: 'ready',
    since: now - 3 * 60 * minute - slot * 1000,
    reason: 'first heartbeat after joining',
    stage: 'joined',
    firmware: slot % 2 === 0 ? 'uefi' : 'uboot',
    ip: `10.77.${Math.floor(slot / 250)}.${(slot % 250) + 1}`,
    bootId: `5c0f6f0e-0000-4000-8000-${String(slot).padStart(12, '0')}`,
    serial: `HKC2${String(slot).padStart(8, '0')}`,
    fenced: false,
    placement: 'open',
    labels: {},
    lastHeartbeatAt: now,
    bootDurationMs: 38_000 + slot * 10,
    instances: 0,
    customers: [],
    facts: {
      model: 'Hardkernel ODROID-C2',
      cpu: 'Cortex-A53',
      cores: 4,
      memoryBytes: 2 * GiB,
      kernel: '6.1.0-40-arm64',
      interfaces: [{ name: 'eth0', mac: macOf(slot), ip: `10.77.0.${slot % 250}`, speedMbps: 1000 }],
    },
    sample: sampleOf(roll),
  };
  return { ...usual, ...exceptions[slot], ...(exceptions[slot]?.state === undefined ? {} : { sample: null }) };
}

interface Tenant {
  name: string;
  onSilence: 'stop' | 'hold';
  workload: string;
  instances: number;
}
const tenants: readonly Tenant[] = [
  { name: 'acme', onSilence: 'stop', workload: 'web', instances: 2 },
  { name: 'globex', onSilence: 'hold', workload: 'ledger', instances: 120 },
  { name: 'initech', onSilence: 'stop', workload: 'reports', instances: 560 },
];

/** Placed in turn on the nodes that take work, which are told of it. */
function placed(tenant: Tenant, { ready, now }: { ready: Node[]; now: number }): Instance[] {
  const { name, workload } = tenant;
  const instances: Instance[] = [];
  for (let count = 0; count < Math.min(tenant.instances, ready.length * 4); count += 1) {
    const node = ready[count % ready.length];
    if (node === undefined) break;
    const endpoint = `http://${node.ip}:${20_000 + count}`;
    const usual = { state: 'running', reason: '', ready: true, restarts: 0, endpoint } as const;
    const odd = {
      state: 'exited',
      reason: 'exit code 137, starts again in 8 s',
      ready: false,
      restarts: 3,
      endpoint: null,
    } as const;
    instances.push({
      id: `${workload}-${(count + workload.length * 4096).toString(16).padStart(8, '0')}`,
      customer: name,
      workload,
      node: node.mac,
      nodeName: node.name,
      since: now - 12 * minute - count * 800,
      ...(name === 'globex' && count === 1 ? odd : usual),
    });
    node.instances += 1;
    if (!node.customers.includes(name)) node.customers.push(name);
  }
  return instances;
}

/** A snapshot of a rack with so many nodes, checked against the schema. */
export function scriptedSnapshot({ nodes: total, now }: { nodes: number; now: number }): Snapshot {
  const roll = dice(7);
  const nodes = Array.from({ length: total }, (_, index) => nodeOf(index + 1, { now, roll }));
  const ready = nodes.filter(({ state, fenced }) => state === 'ready' && !fenced);
  const instances = tenants.flatMap((tenant) => placed(tenant, { ready, now }));
  const runningOf = (name: string) =>
    instances.filter((each) => each.customer === name && each.state === 'running').length;
  const allOf = (name: string) => instances.filter((each) => each.customer === name).length;
  const snapshot: Snapshot = {
    status: {
      version: '0.1.0',
      startedAt: now - 5 * minute,
      startupMs: 640,
      rack: 'rack-07',
      nodes: { ready: ready.length },
      customers: tenants.length,
      instances: instances.length,
      running: instances.length - 1,
      standingOrders: 0,
      problems: [],
      twoPersonRule: false,
      lastDrill: null,
    },
    nodes,
    customers: tenants.map(({ name, onSilence }, index) => ({
      name,
      onSilence,
      memoryBytes: 768 * 2 ** 20,
      processes: 512,
      uidBase: 1_000_000 + index * 65_536,
      createdAt: now - 90 * minute,
      killedBy: null,
      workloads: 1,
      instances: allOf(name),
      running: runningOf(name),
    })),
    workloads: tenants.map(({ name, workload, onSilence }) => ({
      customer: name,
      name: workload,
      image: `${workload}:1.4`,
      replicas: allOf(name),
      command: null,
      env: [],
      port: 8080,
      memoryBytes: 64 * 2 ** 20,
      cpu: 0.5,
      processes: 64,
      user: null,
      capabilities: [],
      stopSignal: null,
      stopGraceMs: 10_000,
      stopped: false,
      checks: {},
      update: { maxSurge: 1, deadlineMs: 180_000, drainMs: 5_000 },
      placement: {},
      onSilence,
      createdAt: now - 80 * minute,
      revision: 1,
      running: runningOf(name),
      ready: runningOf(name),
      updated: runningOf(name),
      problem: '',
    })),
    instances,
    kills: [],
    approvals: [],
    drills: [],
    events: Array.from({ length: 60 }, (_, index) => scriptedEvent(index + 1, now - (61 - index) * 7_000)),
  };
  return Value.Parse(Snapshot, snapshot);
}

const storyline = [
  ['node', 'became ready: first heartbeat after joining'],
  ['boot', 'got its kernel over HTTP, 9.8 MiB in 0.9 s'],
  ['instance', 'runs: 412 ms after it was placed'],
  ['workload', '2 of 2 replicas running'],
] as const;

export function scriptedEvent(id: number, at: number): Event {
  const [kind, message] = storyline[id % storyline.length] ?? storyline[0];
  const subject = kind === 'workload' ? 'acme/web' : kind === 'instance' ? 'web-00003000' : macOf((id * 37) % 684);
  return { id, at, kind, subject, message };
}

export function scriptedOrder(order: Partial<KillOrder> & { number: number; scope: string }): KillOrder {
  const usual = { reason: 'runaway mailer', by: 'root', at: Date.now(), liftedAt: null, liftedBy: null };
  return Value.Parse(KillOrder, {
    ...usual,
    stored: true,
    nodes: 2,
    stopped: 0,
    slowestMs: null,
    unacknowledged: [],
    holding: [],
    ...order,
  });
}

export function scriptedApproval(approval: Partial<Approval> & { id: number }): Approval {
  const at = Date.now();
  const usual = { action: 'kill', scope: '*', reason: 'fire in row 4', by: 'anna', at, expiresAt: at + 10 * minute };
  return Value.Parse(Approval, { ...usual, ...approval });
}

export function scriptedDrill(drill: Partial<Drill> & { number: number }): Drill {
  const startedAt = Date.now() - 26 * 60 * minute;
  const usual = { customer: 'canary', by: 'schedule', startedAt, endedAt: startedAt + minute, phase: 'done' };
  const measured = {
    outcome: 'passed',
    problem: '',
    order: 7,
    drawn: 676,
    leftOut: [],
    nodes: 676,
    stopped: 676,
    medianMs: 97,
    slowestMs: 398,
  };
  return Value.Parse(Drill, { ...usual, ...measured, unacknowledged: [], ...drill });
}

const step = (afterMs: number, what: { by: string; outcome: string; detail: string }) => ({ afterMs, ...what });

/** An order on a whole rack: most nodes answer at once, and each kind of evidence is there. */
export function scriptedTimeline(number: number, nodes: number): KillTimeline {
  const roll = dice(11);
  const usual = { evidence: 'receipt', processes: 3, escalation: [] };
  const unheard = { sentAfterMs: null, stoppedAfterMs: null, processes: 0 };
  const odd: Record<number, object> = {
    212: { ...unheard, evidence: 'silence', evidenceAfterMs: 3_912 },
    300: {
      evidence: 'ssh',
      stoppedAfterMs: null,
      evidenceAfterMs: 2_640,
      escalation: [step(2_004, { by: 'ssh', outcome: 'stopped', detail: 'emptied 3 control groups' })],
    },
    380: {
      evidence: null,
      stoppedAfterMs: null,
      evidenceAfterMs: null,
      processes: 0,
      escalation: [
        step(2_001, { by: 'ssh', outcome: 'failed', detail: 'no answer on port 22 within 1 s' }),
        step(3_120, { by: 'power', outcome: 'tried', detail: 'outlet 12 of pdu-3 asked to go off' }),
      ],
    },
    381: {
      evidence: 'power',
      stoppedAfterMs: null,
      evidenceAfterMs: 3_377,
      escalation: [
        step(2_003, { by: 'ssh', outcome: 'failed', detail: 'connection refused' }),
        step(3_010, { by: 'power', outcome: 'stopped', detail: 'outlet 13 of pdu-3 is off' }),
      ],
    },
  };
  const timeline = Array.from({ length: nodes }, (_, index) => {
    const sentAfterMs = 1 + Math.round(roll() * 20);
    const stoppedAfterMs = 4 + Math.round(roll() * 30);
    const evidenceAfterMs = sentAfterMs + stoppedAfterMs + Math.round(roll() ** 3 * 300);
    const node = {
      mac: macOf(index + 1),
      name: `node-c2${macOf(index + 1)
        .slice(12)
        .replace(':', '')}`,
    };
    return { ...node, ...usual, sentAfterMs, stoppedAfterMs, evidenceAfterMs, ...odd[index + 1] };
  });
  const unacknowledged = timeline.filter(({ evidence }) => evidence === null).map(({ name }) => name);
  const order = scriptedOrder({
    number,
    scope: '*',
    by: 'anna, approved by ben',
    reason: 'fire in row 4',
    at: Date.now() - 6_000,
    nodes,
    stopped: nodes - unacknowledged.length,
    slowestMs: 3_912,
    unacknowledged,
    holding: ['globex'],
  });
  return Value.Parse(KillTimeline, { ...order, timeline });
}

export interface AskedChange {
  /** With the method in front where it is no POST. */
  path: string;
  body: unknown;
}

export interface ScriptedRack extends AsyncDisposable {
  url: string;
  /** The page's address with the operator's token, as `npm start` prints it. */
  pageUrl: string;
  /** What the page asked for with the right token. */
  asked: AskedChange[];
  /** Requests that came without the right token. */
  refused: number;
  snapshot: Snapshot;
  /** Answers of the next changes. */
  answer: (change: AskedChange) => object;
  /** What the page can ask, by path. */
  reads: Map<string, object>;
  /** The operator whose token is `token`. */
  operator: string;
  tell(kind: string, data: unknown): void;
  /** Ends every listener's connection, as a restart of the controller does. */
  cut(): void;
}

/** The real plugin on a loopback port, with a stream that says what the test tells it to. */
export async function scriptedRack(snapshot: Snapshot): Promise<ScriptedRack> {
  const app = fastify({ forceCloseConnections: true });
  const listeners = new Set<ServerResponse>();
  await app.register(dashboard);
  app.addHook('onRequest', async (request, reply) => {
    if (request.method !== 'GET' || !request.url.startsWith('/v1/')) return;
    if (request.headers.authorization === `Bearer ${token}`) return;
    rack.refused += 1;
    await reply.status(401).send({ error: 'cannot answer without an operator’s token' });
  });
  app.get('/v1/stream', (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    listeners.add(reply.raw);
    reply.raw.on('close', () => listeners.delete(reply.raw));
    reply.raw.write(`retry: 200\n\n${messageText('snapshot', rack.snapshot)}`);
  });
  app.route({
    method: ['POST', 'DELETE'],
    url: '/v1/*',
    handler: (request, reply) => {
      if (request.headers.authorization !== `Bearer ${token}`) {
        rack.refused += 1;
        return reply.status(401).send({ error: 'cannot change anything without the operators’ token' });
      }
      const change = {
        path: `${request.method === 'POST' ? '' : `${request.method} `}${request.url}`,
        body: request.body,
      };
      rack.asked.push(change);
      const answer = rack.answer(change);
      // As the controller does: what waits is not yet what was asked for.
      return reply.status('expiresAt' in answer ? 202 : 201).send(answer);
    },
  });
  app.get('/v1/status', () => rack.snapshot.status);
  app.get('/v1/whoami', () => ({ name: rack.operator }));
  app.get('/v1/*', (request, reply) => {
    const found = rack.reads.get(request.url);
    return found === undefined ? reply.status(404).send({ error: `there is nothing at ${request.url}` }) : found;
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const rack: ScriptedRack = {
    url,
    pageUrl: `${url}/#token=${token}`,
    asked: [],
    refused: 0,
    snapshot,
    answer: () => scriptedOrder({ number: 1, scope: 'acme' }),
    reads: new Map<string, object>([['/v1/drills', { drills: [], schedule: null }]]),
    operator: 'root',
    tell: (kind, data) => {
      for (const listener of listeners) listener.write(messageText(kind, data));
    },
    cut: () => {
      for (const listener of listeners) listener.destroy();
    },
    [Symbol.asyncDispose]: () => app.close(),
  };
  return rack;
}

/** A scripted rack with so many nodes. */
export const rackOf = (nodes: number): Promise<ScriptedRack> =>
  scriptedRack(scriptedSnapshot({ nodes, now: Date.now() }));

function messageText(kind: string, data: unknown): string {
  return `event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}
