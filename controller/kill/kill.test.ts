// A peer that speaks the protocol over loopback stands for the board: what it hears is what a board would hear.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { openInventory, type Inventory } from '../../inventory/inventory.ts';
import { joinBoard, placeWeb } from '../../inventory/rack.fixture.ts';
import type { KillOrder, KillTimeline } from '../../protocol/api/orders.ts';
import { testHeartbeat } from '../../protocol/heartbeat.fixture.ts';
import { decodePermit, encodeHeartbeat, type Permit, type Receipt } from '../../protocol/roll-call.ts';
import { killResendMs, stopsByItselfMs } from '../../protocol/timing.ts';
import { openOperatorApi } from '../api/operator-api.fixture.ts';
import { startRollCall, type LocalRollCall } from './roll-call/roll-call.ts';

const mac = '02:00:00:c2:00:01';

interface Rig {
  inventory: Inventory;
  rollCall: LocalRollCall;
  board: Board;
  readonly post: (url: string, payload: object) => Promise<{ status: number; body: unknown }>;
  readonly timeline: (number: number) => Promise<KillTimeline>;
}

class Board {
  readonly #socket: Socket;
  readonly #controllerPort: number;
  readonly #session: Buffer;
  readonly #key: Buffer;
  #sequence = 0n;

  constructor(
    socket: Socket,
    { controllerPort, session, key }: { controllerPort: number; session: Buffer; key: Buffer },
  ) {
    this.#socket = socket;
    this.#controllerPort = controllerPort;
    this.#session = session;
    this.#key = key;
  }

  async heartbeat(receipts: Receipt[] = [], obeyed = 0n): Promise<{ permit: Permit; nonce: Buffer; bytes: Buffer }> {
    const nonce = randomBytes(16);
    const bytes = encodeHeartbeat(
      testHeartbeat({ session: this.#session, sequence: ++this.#sequence, nonce, permitSequence: obeyed, receipts }),
      this.#key,
    );
    const answer = this.permit();
    this.#socket.send(bytes, this.#controllerPort, '127.0.0.1');
    return { permit: await answer, nonce, bytes };
  }

  async permit(): Promise<Permit> {
    const [bytes] = (await once(this.#socket, 'message')) as [Buffer];
    return decodePermit(bytes, this.#key);
  }

  send(bytes: Buffer): void {
    this.#socket.send(bytes, this.#controllerPort, '127.0.0.1');
  }
}

async function rig(t: TestContext, now: () => number = () => performance.now()): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'kill-'));
  const inventory = await openInventory({ directory, now: Date.now, random: randomBytes });
  const [server, client] = [createSocket('udp4'), createSocket('udp4')];
  server.bind(0, '127.0.0.1');
  client.bind(0, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(client, 'listening')]);
  const rollCall = startRollCall({
    socket: server,
    inventory,
    now,
    wallClock: Date.now,
    nextTurn: immediate,
    onFailure: (error) => assert.fail(String(error)),
  });
  const api = await openOperatorApi({ inventory, rollCall, directory: join(directory, 'images') });
  t.after(async () => {
    await api[Symbol.asyncDispose]();
    server.close();
    client.close();
    await inventory[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  const { session, key } = await joinBoard(inventory, { mac });
  const board = new Board(client, { controllerPort: server.address().port, session, key });
  while (inventory.nodes.get(mac)?.state !== 'ready') await board.heartbeat();
  for (const customer of ['acme', 'bolt']) await placeWeb(inventory, { customer, nodes: [mac] });
  return {
    inventory,
    rollCall,
    board,
    post: (url, payload) => api.ask(`POST ${url}`, { body: payload }),
    timeline: async (number) => (await api.ask(`GET /v1/kill/${number}`)).body as KillTimeline,
  };
}

const names = ({ customers }: Permit) => customers.map(({ customer }) => customer);

test('a permit answers each heartbeat and lists who may run', async (t) => {
  const { board } = await rig(t);
  const { permit, nonce } = await board.heartbeat();
  assert.deepEqual(names(permit), ['acme', 'bolt']);
  assert.deepEqual(permit.nonce, nonce);
  const next = await board.heartbeat();
  assert.ok(next.permit.sequence > permit.sequence);
});

test('a kill order sends a permit without the customer at once, again until the receipt, and latches', async (t) => {
  let clock = 1_000_000;
  const { board, inventory, post, rollCall, timeline } = await rig(t, () => clock);
  await board.heartbeat();
  const pushed = board.permit();
  const { status, body } = await post('/v1/kill', { customer: 'acme', reason: 'test' });
  assert.equal(status, 201);
  const order = body as KillOrder;
  assert.deepEqual(order.unacknowledged, ['node-c20001']);
  const permit = await pushed;
  assert.deepEqual(names(permit), ['bolt']);
  assert.deepEqual(permit.orders, [{ order: BigInt(order.number), scope: 'acme' }]);
  // Its answer may be on the way: nothing is sent twice at once.
  const before = rollCall.counters.permits;
  await rollCall.pursue();
  assert.equal(rollCall.counters.permits, before);
  const again = board.permit();
  clock += killResendMs;
  await rollCall.pursue();
  assert.deepEqual((await again).orders, permit.orders);

  await board.heartbeat([{ order: BigInt(order.number), stoppedAfterMs: 12, processes: 3 }]);
  let acknowledged = await timeline(order.number);
  for (const until = performance.now() + 30_000; acknowledged.stopped === 0 && performance.now() < until;) {
    await board.heartbeat();
    acknowledged = await timeline(order.number);
  }
  assert.equal(acknowledged.stopped, 1);
  assert.deepEqual(acknowledged.unacknowledged, []);
  assert.equal(acknowledged.timeline[0]?.evidence, 'receipt');
  assert.equal(acknowledged.timeline[0]?.stoppedAfterMs, 12);
  const { sentAfterMs, evidenceAfterMs } = acknowledged.timeline[0] ?? {};
  assert.ok(typeof sentAfterMs === 'number' && sentAfterMs <= (evidenceAfterMs ?? -1), 'told before it acknowledged');
  // Until the receipt is on disk permits go on asking for it.
  let after = await board.heartbeat();
  for (const until = performance.now() + 30_000; after.permit.orders.length > 0 && performance.now() < until;)
    after = await board.heartbeat();
  const verdict = await inventory.audit.verify();
  const entries = 4; // Two workloads, the order, the receipt.
  assert.deepEqual(
    [verdict.entries, verdict.receipts, verdict.problems],
    [entries, 1, []],
    'the signed receipt is kept',
  );
  const [instance] = inventory.instances.of('acme');
  assert.equal(instance?.state, 'stopped');
  assert.deepEqual(after.permit.orders, []);
  assert.deepEqual(names(after.permit), ['bolt']);

  assert.equal((await post('/v1/lift', { customer: 'acme' })).status, 200);
  assert.deepEqual(names((await board.heartbeat()).permit), ['acme', 'bolt']);
});

test('an order for everything lists nobody', async (t) => {
  const { board, post } = await rig(t);
  await board.heartbeat();
  const pushed = board.permit();
  assert.equal((await post('/v1/kill', { everything: true, reason: 'test' })).status, 201);
  const permit = await pushed;
  assert.deepEqual(names(permit), []);
  assert.equal(permit.orders[0]?.scope, '*');
});

test('wrong orders are refused in one sentence', async (t) => {
  const { post } = await rig(t);
  const table: [string, object, number, RegExp][] = [
    ['/v1/kill', { customer: 'nobody', reason: 'x' }, 409, /nobody/],
    ['/v1/kill', { customer: 'acme' }, 400, /reason/],
    ['/v1/kill', { reason: 'x' }, 400, /want either "customer" or "everything"/],
    ['/v1/kill', { customer: 'acme', everything: true, reason: 'x' }, 400, /not both/],
    ['/v1/kill', { customer: 'acme', reason: 'x', force: true }, 400, /force/],
    ['/v1/lift', { customer: 'acme' }, 409, /acme/],
  ];
  for (const [url, payload, status, message] of table) {
    const answer = await post(url, payload);
    assert.equal(answer.status, status, JSON.stringify(answer));
    assert.match((answer.body as { error: string }).error, message);
  }
  assert.equal((await post('/v1/kill', { customer: 'acme', reason: 'x' })).status, 201);
  assert.equal((await post('/v1/kill', { customer: 'acme', reason: 'x' })).status, 409);
});

test('a silent board counts as stopped only when its permits have run out', { timeout: 20_000 }, async (t) => {
  let clock = 1_000_000;
  const { board, post, rollCall, timeline } = await rig(t, () => clock);
  await board.heartbeat();
  const order = (await post('/v1/kill', { customer: 'acme', reason: 'test' })).body as KillOrder;
  const wait = async (ms: number) => {
    for (const until = clock + ms; clock < until;) {
      clock = Math.min(until, clock + 100);
      await rollCall.pursue();
    }
  };
  await wait(stopsByItselfMs - 1);
  assert.equal((await timeline(order.number)).stopped, 0);
  await wait(2);
  let proven = await timeline(order.number);
  while (proven.stopped === 0) {
    await immediate();
    proven = await timeline(order.number);
  }
  assert.equal(proven.timeline[0]?.evidence, 'silence');
});

test(
  'silence proves nothing where a held customer may run, wherever it is placed by now',
  { timeout: 20_000 },
  async (t) => {
    let clock = 1_000_000;
    const { board, inventory, post, rollCall, timeline } = await rig(t, () => clock);
    await placeWeb(inventory, { customer: 'held', nodes: [mac], onSilence: 'hold' });
    const [held] = inventory.instances.of('held');
    assert.ok(held !== undefined);
    const first = await board.heartbeat();
    assert.ok(names(first.permit).includes('held'));
    const second = await board.heartbeat([], first.permit.sequence);
    // As the scheduler does for a node that is lost.
    await inventory.instances.apply([{ kind: 'remove', id: held.id, reason: 'its node is lost' }]);
    const order = (await post('/v1/kill', { customer: 'held', reason: 'test' })).body as KillOrder;
    const settled = async (ms: number) => {
      for (const until = clock + ms; clock < until;) {
        clock = Math.min(until, clock + 100);
        await rollCall.pursue();
      }
      for (let turn = 0; turn < 20; turn++) await immediate();
      return (await timeline(order.number)).timeline[0]?.evidence;
    };
    assert.equal(await settled(60_000), null);
    const third = await board.heartbeat([], second.permit.sequence);
    assert.equal(await settled(60_000), null);
    // The node has obeyed a permit that no longer lists it.
    await board.heartbeat([], third.permit.sequence);
    await settled(stopsByItselfMs + 1);
    let proven = await timeline(order.number);
    while (proven.stopped === 0) {
      await immediate();
      proven = await timeline(order.number);
    }
    assert.equal(proven.timeline[0]?.evidence, 'silence');
  },
);

test('a pause of the controller proves nothing about a board', { timeout: 20_000 }, async (t) => {
  let clock = 1_000_000;
  const { board, post, rollCall, timeline } = await rig(t, () => clock);
  await board.heartbeat();
  const order = (await post('/v1/kill', { customer: 'acme', reason: 'test' })).body as KillOrder;
  clock += 60_000;
  await rollCall.pursue();
  await immediate();
  assert.deepEqual((await timeline(order.number)).unacknowledged, ['node-c20001']);
});

test('replays, garbage and foreign sessions get no permit', async (t) => {
  const { board, rollCall } = await rig(t);
  const before = rollCall.counters.permits;
  const { bytes } = await board.heartbeat();
  board.send(bytes);
  board.send(Buffer.from('ZRE'));
  board.send(Buffer.concat([bytes.subarray(0, 8), randomBytes(16), bytes.subarray(24)]));
  const forged = Buffer.from(bytes);
  forged[31] = 200;
  board.send(forged);
  const { permit } = await board.heartbeat();
  assert.ok(permit);
  assert.equal(rollCall.counters.refused, 4);
  assert.equal(rollCall.counters.permits, before + 2);
});
