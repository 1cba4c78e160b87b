import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { testHeartbeat } from '../../protocol/heartbeat.fixture.ts';
import { decodeHeartbeat, encodeHeartbeat, encodePermit } from '../../protocol/roll-call.ts';
import { seededRandom } from '../../protocol/seeded-random.fixture.ts';
import { killWorkMs, permitValidityMs } from '../../protocol/timing.ts';
import { until } from '../../test/until.ts';
import { controllerPeer, type ControllerPeer } from '../api/controller-peer.fixture.ts';
import type { Vouch } from './leash.ts';
import { thisMachine } from '../machine.ts';
import { processCustomers } from './process-customers.fixture.ts';
import { startRollCall } from './roll-call.ts';

async function called(t: TestContext) {
  const peer = await controllerPeer();
  const customers = processCustomers();
  const vouches: Vouch[] = [];
  const generations: bigint[] = [];
  const session = giveSession(peer);
  const rollCall = startRollCall({
    controller: peer.udp,
    session,
    runtime: customers,
    vouch: (lines) => vouches.push(...lines),
    appliedGeneration: () => 0,
    onGeneration: (generation) => generations.push(generation),
    log: (text) => t.diagnostic(text),
    machine: thisMachine,
  });
  t.after(async () => {
    rollCall[Symbol.dispose]();
    await customers[Symbol.asyncDispose]();
    await peer[Symbol.asyncDispose]();
  });
  return { peer, customers, vouches, generations, rollCall, session };
}

function giveSession(peer: ControllerPeer) {
  const session = { id: randomBytes(16).toString('hex'), key: randomBytes(32) };
  peer.keys.set(session.id, session.key);
  return session;
}

const acme = { customer: 'acme', hold: false };
const bolt = { customer: 'bolt', hold: false };

test('a permit starts whom it lists, the next one without a customer kills it, and the receipt comes at once', async (t) => {
  const { peer, customers, vouches } = await called(t);
  peer.customers = [acme, bolt];
  await until('both run', () => customers.loads().length === 2);
  assert.deepEqual(
    vouches.slice(0, 2).map(({ customer }) => customer),
    ['acme', 'bolt'],
  );
  // Just after one heartbeat: the next regular one is a whole interval off, and brings the receipt too late.
  const beats = peer.heartbeats.length;
  await until('a heartbeat', () => peer.heartbeats.length > beats);
  const orderedMs = performance.now();
  peer.customers = [bolt];
  peer.orders = [{ order: 41n, scope: 'acme' }];
  peer.permit();
  await until('receipt', () => (peer.heartbeats.at(-1)?.receipts.length ?? 0) > 0);
  const tookMs = performance.now() - orderedMs;
  const receipt = peer.heartbeats.at(-1)?.receipts[0];
  assert.equal(receipt?.order, 41n);
  assert.equal(receipt?.processes, 1);
  assert.ok(tookMs < 500, `receipt after ${tookMs} ms, want less than a heartbeat's interval`);
  t.diagnostic(`kill to receipt: ${tookMs.toFixed(1)} ms`);
  assert.deepEqual(
    customers.loads().map(({ customer }) => customer),
    ['bolt'],
  );
  assert.deepEqual(vouches.findLast(({ customer }) => customer === 'acme')?.untilMs, 0);

  // Repeated in each heartbeat until a permit no longer asks.
  const count = peer.heartbeats.length;
  await until('another heartbeat', () => peer.heartbeats.length > count);
  assert.equal(peer.heartbeats.at(-1)?.receipts.length, 1);
  peer.orders = [];
  await until('no more receipt', () => peer.heartbeats.at(-1)?.receipts.length === 0);
});

test('an order for everything is acknowledged when all are gone', async (t) => {
  const { peer, customers } = await called(t);
  peer.customers = [acme, bolt];
  await until('both run', () => customers.loads().length === 2);
  peer.customers = [];
  peer.orders = [{ order: 1n, scope: '*' }];
  peer.permit();
  await until('receipt', () => peer.heartbeats.at(-1)?.receipts[0]?.processes === 2);
  assert.deepEqual(customers.loads(), []);
});

test('silence stops a customer when its permit ends, and contact brings it back', async (t) => {
  const { peer, customers, rollCall } = await called(t);
  peer.customers = [acme];
  await until('it runs', () => customers.loads().length === 1);
  peer.answers = false;
  const quietMs = performance.now();
  await until('it is stopped', () => customers.stops.length > 0);
  const [stop] = customers.stops;
  assert.equal(stop?.reason, 'silence');
  const stoppedMs = (stop?.atMs ?? Infinity) - quietMs;
  assert.ok(stoppedMs < permitValidityMs + killWorkMs, `stopped ${stoppedMs} ms after`);
  assert.deepEqual(rollCall.permitted(), []);
  peer.answers = true;
  await until('it runs again', () => customers.loads().length === 1);
});

test('nobody vouches for a customer that a lifted order has not ended yet', async (t) => {
  const { peer, customers, rollCall, vouches } = await called(t);
  const lastVouch = () => vouches.findLast(({ customer }) => customer === 'acme')?.untilMs ?? 0;
  peer.customers = [acme];
  await until('it runs', () => customers.loads().length === 1);
  let stopping = true;
  customers.isStopping = () => stopping;
  peer.customers = [];
  peer.orders = [{ order: 41n, scope: 'acme' }];
  peer.permit();
  await until('the leash is told', () => lastVouch() === 0);
  peer.customers = [acme];
  peer.orders = [];
  const { permits } = rollCall.counts();
  peer.permit();
  await until('the lift is heard', () => rollCall.counts().permits > permits);
  assert.equal(lastVouch(), 0);
  stopping = false;
  await until('it is vouched for again', () => lastVouch() > performance.now());
  await until('it runs again', () => customers.loads().length === 1);
});

test('unanswered heartbeats are repeated while the last permit is young, answered ones are not', () => {
  // A machine made up of one list of timers: nothing here waits.
  let nowMs = 0;
  const timers = new Set<{ atMs: number; callback: () => void }>();
  const sent: Buffer[] = [];
  let hear: (bytes: Buffer) => void = () => assert.fail('no socket yet');
  const session = { id: '0'.repeat(32), key: randomBytes(32) };
  using rollCall = startRollCall({
    controller: { host: '127.0.0.1', port: 1 },
    session,
    runtime: processCustomers(),
    vouch: () => undefined,
    appliedGeneration: () => 0,
    onGeneration: () => undefined,
    log: () => undefined,
    machine: {
      ...thisMachine,
      now: () => nowMs,
      uptimeSeconds: () => nowMs / 1_000,
      later(callback, ms) {
        const timer = { atMs: nowMs + ms, callback };
        timers.add(timer);
        return () => void timers.delete(timer);
      },
      openSocket: () => ({
        on: (event: string, listener: (value: never) => void) => {
          if (event === 'message') hear = listener as typeof hear; // the overload for `message` takes its bytes
        },
        connect: (...[, , callback]) => callback(),
        send: (bytes) => void sent.push(bytes),
        close: () => undefined,
      }),
    },
  });
  const run = (untilMs: number): number => {
    const before = sent.length;
    for (;;) {
      const [next] = [...timers].toSorted((one, other) => one.atMs - other.atMs);
      if (next === undefined || next.atMs > untilMs) break;
      timers.delete(next);
      nowMs = next.atMs;
      next.callback();
    }
    nowMs = untilMs;
    return sent.length - before;
  };
  let sequence = 0n;
  const answer = (): void => {
    const { nonce } = decodeHeartbeat(sent.at(-1) ?? Buffer.alloc(0), session.key);
    const head = { session: Buffer.alloc(16), sequence: ++sequence, nonce };
    hear(encodePermit({ ...head, generation: 0n, validityMs: 3_000, customers: [], orders: [] }, session.key));
  };
  assert.equal(run(2_999), 3, 'never answered: the regular ones');
  answer();
  assert.equal(run(3_000), 1);
  answer();
  assert.equal(run(3_749), 0);
  // From here on silence: for 3 s three times as many, then the regular pace.
  assert.equal(run(6_000), 10);
  run(7_000);
  assert.equal(run(10_000), 4);
  assert.equal(rollCall.counts().permits, 2);
});

test('a replayed permit changes nothing', async (t) => {
  const { peer, customers, rollCall } = await called(t);
  peer.customers = [acme];
  await until('it runs', () => customers.loads().length === 1);
  const old = peer.permit();
  peer.customers = [];
  peer.permit();
  await until('it is stopped', () => customers.stops.length === 1);
  const { permits } = rollCall.counts();
  peer.answers = false;
  // What was answered before is read.
  await wait(50);
  const replayedMs = performance.now();
  for (let each = 0; each < 10; each += 1) peer.send(old);
  await until('replays are read', () => rollCall.counts().permits >= permits + 10);
  assert.deepEqual(customers.loads(), []);
  assert.ok((rollCall.lastPermitMs() ?? Infinity) < replayedMs, 'nor that the controller is silent');
});

test('a new session is used from the next heartbeat on, permits of the old one are refused', async (t) => {
  const { peer, rollCall, generations, session } = await called(t);
  peer.desired = { generation: 3, customers: [], instances: [] };
  await until('told of generation 3', () => generations.length === 1);
  const old = peer.permit();
  const next = giveSession(peer);
  rollCall.useSession(next);
  await until('a heartbeat of it', () => peer.heartbeats.at(-1)?.session.toString('hex') === next.id);
  await until('told again', () => generations.length === 2);
  const { refused } = rollCall.counts();
  peer.keys.delete(session.id);
  peer.send(old);
  await until('it is refused', () => rollCall.counts().refused > refused);
});

test('sequences grow and nonces are never used twice', async (t) => {
  const { peer } = await called(t);
  await until('4 heartbeats', () => peer.heartbeats.length >= 4);
  const sequences = peer.heartbeats.map(({ sequence }) => sequence);
  assert.deepEqual(
    sequences,
    sequences.toSorted((one, other) => (one < other ? -1 : 1)),
  );
  assert.equal(new Set(peer.heartbeats.map(({ nonce }) => nonce.toString('hex'))).size, peer.heartbeats.length);
});

test('datagrams from another address never reach the agent', async (t) => {
  const { peer, rollCall } = await called(t);
  await until('a permit', () => rollCall.counts().permits > 0);
  const stranger = createSocket('udp4');
  t.after(() => stranger.close());
  const { port, host } = peer.node();
  await Promise.all(
    Array.from({ length: 100 }, () => new Promise((resolve) => stranger.send(randomBytes(100), port, host, resolve))),
  );
  const { permits } = rollCall.counts();
  await until('another permit', () => rollCall.counts().permits > permits);
  assert.equal(rollCall.counts().refused, 0);
});

test('20,000 datagrams of garbage from the controller’s address (seed 1) are refused, and permits go on', async (t) => {
  const { peer, customers, rollCall, session } = await called(t);
  peer.customers = [acme];
  await until('it runs', () => customers.loads().length === 1);
  const random = seededRandom(1);
  const good = peer.permit();
  const heartbeat = encodeHeartbeat(
    testHeartbeat({ session: Buffer.from(session.id, 'hex'), sequence: 2n ** 63n }),
    session.key,
  );
  const forms: (() => Buffer)[] = [
    () => Buffer.from(Array.from({ length: Math.floor(random() * 1_500) }, () => random() * 256)),
    () => good.subarray(0, Math.floor(random() * good.length)),
    () => Buffer.concat([good, Buffer.alloc(Math.ceil(random() * 1_400), 7)]),
    () => {
      const flipped = Buffer.from(good);
      const at = Math.floor(random() * flipped.length);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      return flipped;
    },
    // Rightly signed, but what a node sends: an echo must not be taken for a permit.
    () => heartbeat,
    () => Buffer.alloc(0),
  ];
  const before = rollCall.counts().refused;
  let sent = 0;
  while (sent < 20_000) {
    for (let each = 0; each < 50; each += 1, sent += 1) peer.send((forms[sent % forms.length] ?? forms[0])?.() ?? good);
    // The node must keep up: what overflows its socket's buffer would test nothing.
    await until('a batch is refused', () => rollCall.counts().refused >= before + sent);
  }
  const { permits } = rollCall.counts();
  await until('permits go on', () => rollCall.counts().permits > permits);
  assert.equal(rollCall.counts().refused, before + sent);
  assert.equal(customers.stops.length, 0);
  assert.equal(customers.loads().length, 1);
});
