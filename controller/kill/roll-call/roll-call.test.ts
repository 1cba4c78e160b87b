// The roll call over an inventory that has a past: another process wrote it, or it came back from a backup.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openInventory, type Inventory } from '../../../inventory/inventory.ts';
import { joinBoard, macOf, placeWeb } from '../../../inventory/rack.fixture.ts';
import { testHeartbeat } from '../../../protocol/heartbeat.fixture.ts';
import {
  decodePermit,
  encodeHeartbeat,
  ordersPerPermitLimit,
  type Heartbeat,
  type Permit,
} from '../../../protocol/roll-call.ts';
import { startEscalation } from '../escalation.ts';
import { giveKillOrder } from '../kill-order.ts';
import { startRollCall, type LocalRollCall } from './roll-call.ts';
import type { RollCallSocket } from './roll-call-loop.ts';

const mac = macOf(1);
const board = { address: '10.77.0.50', port: 5670 };
type Credentials = Awaited<ReturnType<typeof joinBoard>>;

interface Life extends AsyncDisposable {
  inventory: Inventory;
  rollCall: LocalRollCall;
  /** The permit that answers a heartbeat of a board that has obeyed (`permitSequence`) and applied (`generation`) so much. */
  readonly answer: (credentials: Credentials, said: Partial<Heartbeat>) => Permit;
}

/** One life of a controller, on paper but for the store. Clocks in ms. */
async function live(directory: string, clock: { now: number; wall: number }): Promise<Life> {
  const inventory = await openInventory({ directory, now: () => clock.wall, random: randomBytes });
  let hear: Parameters<RollCallSocket['on']>[1] = () => assert.fail('nobody listens');
  const sent: Buffer[] = [];
  const rollCall = startRollCall({
    socket: { on: (_event, listener) => (hear = listener), send: (bytes) => void sent.push(bytes) },
    inventory,
    now: () => clock.now,
    wallClock: () => clock.wall,
    nextTurn,
    onFailure: (error) => assert.fail(String(error)),
  });
  return {
    inventory,
    rollCall,
    answer({ session, key }, said) {
      const heartbeat = testHeartbeat({ session, sequence: BigInt(++clock.now), ...said });
      hear(encodeHeartbeat(heartbeat, key), board);
      const permit = sent.at(-1);
      assert.ok(permit !== undefined, 'it was answered');
      return decodePermit(permit, key);
    },
    [Symbol.asyncDispose]: () => inventory[Symbol.asyncDispose](),
  };
}

/** A rack with one board that runs a customer that stops on silence and one that holds, its state and a backup of that. */
async function rackWithBackup() {
  const directory = await mkdtemp(join(tmpdir(), 'roll-call-'));
  const [state, backup] = [join(directory, 'state'), join(directory, 'backup')];
  const clock = { now: 1_000, wall: 1_800_000_000_000 };
  await using first = await live(state, clock);
  const credentials = await joinBoard(first.inventory, { mac });
  first.answer(credentials, { permitSequence: 0n });
  while (first.inventory.nodes.get(mac)?.state !== 'ready') await nextTurn();
  await placeWeb(first.inventory, { customer: 'acme', nodes: [mac] });
  await placeWeb(first.inventory, { customer: 'held', nodes: [mac], onSilence: 'hold' });
  await first[Symbol.asyncDispose]();
  await cp(state, backup, { recursive: true });
  return { state, backup, clock, credentials, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}

test('permits are no replays to a board that obeyed a controller whose state was replaced by a backup', async () => {
  await using rack = await rackWithBackup();
  let obeyed = 0n;
  for (let starts = 0; starts < 3; starts++) {
    await using before = await live(rack.state, rack.clock);
    for (let beats = 0; beats < 5; beats++)
      obeyed = before.answer(rack.credentials, { permitSequence: obeyed }).sequence;
  }
  await using after = await live(rack.backup, rack.clock);
  const permit = after.answer(rack.credentials, { permitSequence: obeyed });
  assert.ok(permit.sequence > obeyed, `${permit.sequence} after ${obeyed}`);
  assert.ok(
    after.answer(rack.credentials, { permitSequence: obeyed }).sequence > permit.sequence,
    'they grow though it obeyed none',
  );
  assert.ok(
    after.answer(rack.credentials, { permitSequence: 2n ** 64n - 1n }).sequence > permit.sequence,
    'a lie takes nobody down',
  );
});

test('a board that lies about the permit it obeyed is answered like the others', async () => {
  await using rack = await rackWithBackup();
  await using life = await live(rack.state, rack.clock);
  const { sequence } = life.answer(rack.credentials, { permitSequence: 2n ** 64n - 1n });
  assert.ok(sequence < 2n ** 63n);
});

test('what a board obeyed of a controller before the backup does not show that a held customer is gone', async () => {
  await using rack = await rackWithBackup();
  let obeyed = 0n;
  {
    await using before = await live(rack.state, rack.clock);
    for (let beats = 0; beats < 5; beats++)
      obeyed = before.answer(rack.credentials, { permitSequence: obeyed }).sequence;
  }
  await using after = await live(rack.backup, rack.clock);
  after.answer(rack.credentials, { permitSequence: obeyed });
  await after.inventory.orders.kill({ scope: 'held', reason: 'test', by: 'op', targets: [mac] });
  // It sends, and hears nothing.
  after.answer(rack.credentials, { permitSequence: obeyed });
  const { sequence } = after.answer(rack.credentials, { permitSequence: obeyed });
  assert.equal(after.rollCall.mayHold(mac, 'held'), true);
  after.answer(rack.credentials, { permitSequence: sequence });
  assert.equal(after.rollCall.mayHold(mac, 'held'), false, 'it has obeyed the order');
});

test('a board fetches what it should run by a backup, and each change after that', async () => {
  await using rack = await rackWithBackup();
  let applied = 0n;
  {
    await using before = await live(rack.state, rack.clock);
    for (const customer of ['bolt', 'cube', 'dune']) await placeWeb(before.inventory, { customer, nodes: [mac] });
    applied = before.answer(rack.credentials, { permitSequence: 0n }).generation;
  }
  await using after = await live(rack.backup, rack.clock);
  for (let changes = 0; changes < 3; changes++) {
    const { generation } = after.answer(rack.credentials, { permitSequence: 0n, generation: applied });
    assert.ok(generation > applied, `${generation} after ${applied}`);
    applied = BigInt(after.inventory.nodes.desired(mac).generation);
    assert.equal(applied, generation);
    assert.equal(
      after.answer(rack.credentials, { permitSequence: 0n, generation: applied }).generation,
      applied,
      'it is told once',
    );
    await placeWeb(after.inventory, { customer: `echo${changes}`, nodes: [mac] });
  }
  const lie = after.answer(rack.credentials, { permitSequence: 0n, generation: 2n ** 64n - 1n }).generation;
  assert.ok(lie < 2n ** 53n, 'a number that JSON can carry');
});

test('an order of an earlier process is at least as old as this one, whatever the wall clock says', async () => {
  await using rack = await rackWithBackup();
  {
    await using before = await live(rack.state, rack.clock);
    await before.inventory.orders.kill({ scope: 'acme', reason: 'test', by: 'op', targets: [mac] });
  }
  rack.clock.wall -= 3_600_000;
  await using after = await live(rack.state, rack.clock);
  const order = after.inventory.orders.get(1);
  assert.ok(order !== undefined);
  rack.clock.now += 4_000;
  rack.clock.wall += 4_000;
  assert.equal(after.rollCall.sinceGiven(order), 4_000);
  rack.clock.wall += 3_600_000;
  assert.equal(after.rollCall.sinceGiven(order), 4_000);
  rack.clock.wall += 7_000;
  assert.equal(after.rollCall.sinceGiven(order), 11_000);
});

test('an order that waits for its place in the permit is not overdue', { timeout: 20_000 }, async () => {
  await using rack = await rackWithBackup();
  await using life = await live(rack.state, rack.clock);
  const { inventory, rollCall } = life;
  const turned: string[] = [];
  await using escalation = startEscalation({
    inventory,
    rollCall,
    shell: { prepare: () => undefined, run: () => Promise.reject(new Error('nobody answers')) },
    power: {
      automatic: true,
      outletsOf: () => ['left 1'],
      neighboursOf: () => [],
      turn: (state) => Promise.resolve(void turned.push(state)),
      isOff: () => Promise.resolve(true),
      check: () => Promise.resolve([]),
    },
    now: () => rack.clock.now,
    pause: () => nextTurn(),
    onFailure: (error) => assert.fail(String(error)),
  });
  const pass = async (ms: number) => {
    for (const until = rack.clock.now + ms; rack.clock.now < until; rack.clock.now += 99) {
      life.answer(rack.credentials, { permitSequence: 0n });
      await rollCall.pursue();
      escalation.pursue();
      for (let turns = 0; turns < 20; turns++) await nextTurn();
    }
  };
  for (let each = 0; each <= ordersPerPermitLimit; each++) {
    await inventory.customers.add({ name: `c${each}` });
    await giveKillOrder({ inventory, rollCall }, { scope: `c${each}`, reason: 'test', by: 'op' });
  }
  await pass(3_500);
  const { orders } = life.answer(rack.credentials, { permitSequence: 0n });
  assert.equal(orders.length, ordersPerPermitLimit);
  life.answer(rack.credentials, {
    permitSequence: 0n,
    receipts: orders.map(({ order }) => ({ order, stoppedAfterMs: 1, processes: 1 })),
  });
  while (inventory.orders.pending(mac).length > 1) await nextTurn();
  await pass(1_400);
  assert.deepEqual(turned, [], 'it was asked 1.4 s ago');
  // Each step is on disk before the next: virtual time does not wait for that.
  while (turned.length === 0) await pass(99);
  assert.deepEqual(turned, ['off']);
});

test('heartbeats that were sent to an earlier process hold no place, and those that answer this one do', async () => {
  await using rack = await rackWithBackup();
  let obeyed = 0n;
  {
    await using before = await live(rack.state, rack.clock);
    for (let beats = 0; beats < 3; beats++)
      obeyed = before.answer(rack.credentials, { permitSequence: obeyed }).sequence;
  }
  await using after = await live(rack.state, rack.clock);
  let answered = 0n;
  for (let ms = 0; ms <= 6_000; ms += 250) {
    await after.inventory.nodes.sweep(ms);
    answered = after.answer(rack.credentials, { permitSequence: obeyed }).sequence;
  }
  assert.equal(after.inventory.nodes.placeHolder(mac), undefined);
  after.answer(rack.credentials, { permitSequence: answered });
  assert.match(after.inventory.nodes.placeHolder(mac) ?? '', /has its place until it is silent for 4\.5 s/);
});
