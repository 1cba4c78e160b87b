// Orders while the disk is slow or takes nothing. The store is the real one on a real file; what stands between is a gate
// that holds its transactions up, or refuses them as a full disk does.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Inventory, openInventoryOn } from '../inventory.ts';
import { openLocalTables } from '../samples/local-tables.ts';
import { gatedStore } from '../store/gated-store.fixture.ts';
import { openSqliteStore } from '../store/sqlite-store.ts';
import { type Store, StorageError } from '../store/store.ts';
import { joinBoard, macOf, placeWeb } from '../rack.fixture.ts';
import { orderView } from '../../controller/api/views.ts';
import { until } from '../../test/until.ts';

type Disk = 'takes' | 'holds up' | 'refuses';

interface Rig extends AsyncDisposable {
  inventory: Inventory;
  /** What was said to the operator. */
  said: string[];
  set: (disk: Disk) => void;
  /** The process ends as by kill -9: what is in memory only is gone. */
  restart: () => Promise<void>;
}

const board = macOf(1);

/** `acme` and `bolt`, each with an instance on one board. */
async function rig(): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-order-book-'));
  const said: string[] = [];
  let disk: Disk = 'takes';
  let opened = Promise.withResolvers<void>();
  const gated = (store: Store) =>
    gatedStore(store, async () => {
      if (disk === 'holds up') await opened.promise;
      if (disk === 'refuses') throw new StorageError('cannot store: the disk is full');
    });
  const open = () =>
    openInventoryOn({
      openStore: async () => gated(await openSqliteStore(join(directory, 'inventory.sqlite'))),
      openTables: (onEvent) => openLocalTables(join(directory, 'local.sqlite'), { onEvent }),
      now: Date.now,
      random: randomBytes,
      log: (message) => void said.push(message),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms / 50).unref()),
    });
  const set = (to: Disk) => {
    disk = to;
    opened.resolve();
    opened = Promise.withResolvers();
  };
  const it: Rig = {
    inventory: await open(),
    said,
    set,
    restart: async () => {
      const former = it.inventory[Symbol.asyncDispose]();
      set('refuses');
      await former;
      set('takes');
      it.inventory = await open();
    },
    async [Symbol.asyncDispose]() {
      set('takes');
      await it.inventory[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
  await joinBoard(it.inventory, { mac: board });
  it.inventory.nodes.heartbeat(board, { at: Date.now() });
  for (const customer of ['acme', 'bolt']) await placeWeb(it.inventory, { customer, nodes: [board] });
  return it;
}

function names(inventory: Inventory): string[] {
  return inventory.nodes.permitted(board).map(({ customer }) => customer);
}

const receipt = { evidence: 'receipt', evidenceAfterMs: 20, stoppedAfterMs: 5, processes: 1 } as const;

test('an order is in force before the disk has it, and what boards acknowledge counts', async () => {
  await using it = await rig();
  const { inventory } = it;
  it.set('holds up');
  const inForce: number[] = [];
  const given = inventory.orders.kill(
    { scope: 'acme', reason: 'r', by: 'op', targets: [board] },
    { inForce: ({ number }) => void inForce.push(number) },
  );
  assert.deepEqual(inForce, [1]);
  assert.deepEqual(names(inventory), ['bolt']);
  assert.equal(inventory.orders.killedBy('acme'), 1);
  assert.deepEqual(
    inventory.orders.pending(board).map(({ number }) => number),
    [1],
  );
  void inventory.orders.saveReceipt({ number: 1, mac: board, receipt });
  assert.deepEqual(inventory.orders.unacknowledgedNodes(), [], 'nobody goes to a board that has acknowledged');
  assert.equal(inventory.orders.pending(board).length, 1, 'permits ask on until the receipt is on disk');
  assert.deepEqual(
    [orderView(inventory, 1)].map((view) => [view?.stored, view?.stopped]),
    [[false, 1]],
  );
  assert.deepEqual(await inventory.orders.kill({ scope: 'acme', reason: 'again', by: 'op', targets: [] }), {
    refused: 'order 1 stops acme already, and is not stored yet',
  });
  assert.match(JSON.stringify(await inventory.customers.remove('acme')), /order 1 stops acme, and is not stored yet/);
  await until('a problem is told', () => inventory.problems().length > 0);
  assert.match(inventory.problems()[0] ?? '', /^order 1 on acme is enforced: in memory only/);
  it.set('takes');
  const order = await given;
  assert.equal('number' in order ? order.number : 0, 1);
  await until('the receipt is stored', () => inventory.orders.pending(board).length === 0);
  await until('no problem is left', () => inventory.problems().length === 0);
  assert.equal(orderView(inventory, 1)?.stored, true);
  await it.restart();
  assert.deepEqual(names(it.inventory), ['bolt']);
  assert.equal(orderView(it.inventory, 1)?.stopped, 1);
});

test('an order that the disk refuses stays in force, and is stored when the disk takes it', async () => {
  await using it = await rig();
  const { inventory } = it;
  it.set('refuses');
  const first = inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: [board] });
  const second = inventory.orders.kill({ scope: '*', reason: 'r', by: 'op', targets: [board] });
  await inventory.orders.saveReceipt({ number: 1, mac: board, receipt });
  assert.deepEqual(names(inventory), []);
  await until('the enforced order is told', () => it.said.some((text) => /order 1 on acme is enforced/.test(text)));
  await assert.rejects(inventory.customers.add({ name: 'cord' }), /the disk is full/);
  it.set('takes');
  assert.deepEqual(
    [await first, await second].map((order) => ('number' in order ? order.number : 0)),
    [1, 2],
  );
  await until(
    'the receipt is stored, and no problem left',
    () => inventory.orders.receipts(1).length === 1 && inventory.problems().length === 0,
  );
  assert.equal(it.said.at(-1), 'every order and lift is stored now');
  await it.restart();
  assert.deepEqual(
    it.inventory.orders.standing().map(({ number }) => number),
    [1, 2],
  );
  assert.equal(it.inventory.orders.receipts(1).length, 1);
});

test('a lift: of a stored order in force when it is stored, of one that is nowhere when the disk refuses it', async () => {
  await using it = await rig();
  const { inventory } = it;
  await inventory.orders.kill({ scope: 'bolt', reason: 'r', by: 'op', targets: [board] });
  it.set('refuses');
  void inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: [board] });
  const inForce: string[] = [];
  const hooks = { inForce: ({ scope }: { scope: string }) => void inForce.push(scope) };
  const lifts = [
    inventory.orders.lift({ scope: 'bolt', reason: '', by: 'op' }, hooks),
    inventory.orders.lift({ scope: 'acme', reason: 'a slip', by: 'op' }, hooks),
  ];
  await until('the lift is in force', () => inForce.length > 0);
  assert.deepEqual(names(inventory), ['acme']);
  assert.deepEqual(
    [1, 2].map((number) => [orderView(inventory, number)?.stored, orderView(inventory, number)?.liftedAt === null]),
    [
      [false, true],
      [false, false],
    ],
  );
  assert.match(
    JSON.stringify(await inventory.orders.lift({ scope: 'bolt', reason: '' })),
    /the lift of order 1 was asked for already/,
  );
  // Regretted: the customer must not run for a moment, whenever the lift gets to disk.
  const again = inventory.orders.kill({ scope: 'bolt', reason: 'r', by: 'op', targets: [board] });
  it.set('takes');
  for (const lift of lifts) assert.ok('number' in (await lift));
  await again;
  assert.deepEqual(inForce, ['acme', 'bolt']);
  assert.deepEqual(names(inventory), ['acme']);
  await it.restart();
  assert.deepEqual(
    it.inventory.orders.all().map(({ number, scope, liftedAt }) => [number, scope, liftedAt === null]),
    [
      [1, 'bolt', false],
      [2, 'acme', false],
      [3, 'bolt', true],
    ],
  );
});

test('what is in memory only is lost with the process, and that is said', async () => {
  await using it = await rig();
  it.set('refuses');
  const lost = assert.rejects(
    it.inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: [board] }),
    /the controller ends/,
  );
  await until('something is told', () => it.said.length > 0);
  await it.restart();
  await lost;
  assert.match(
    it.said.join('\n'),
    /order 1 on acme is enforced: not stored when the controller ended, and lost with it/,
  );
  assert.deepEqual(it.inventory.orders.standing(), []);
});

test('two operators: what the second approves is in force before the disk has it, and cannot expire meanwhile', async () => {
  await using it = await rig();
  await it.inventory.operators.setRoot('a'.repeat(64));
  assert.ok('token' in (await it.inventory.operators.add({ name: 'ben' }, 'root')));
  const request = { action: 'kill', scope: '*', reason: 'fire', by: 'root', targets: [board] } as const;
  const asked = await it.inventory.approvals.request({ ...request, targets: [board] }, { waitMs: 600_000 });
  assert.ok('approval' in asked);
  it.set('refuses');
  const approved = it.inventory.approvals.approve({ id: asked.approval.id, by: 'ben', targets: [board] });
  assert.deepEqual(names(it.inventory), []);
  await until('something is told', () => it.said.length > 0);
  assert.match(JSON.stringify(await it.inventory.approvals.withdraw(asked.approval.id, 'root')), /does not wait/);
  assert.match(
    JSON.stringify(await it.inventory.approvals.approve({ id: asked.approval.id, by: 'root', targets: [board] })),
    /refused/,
  );
  it.set('takes');
  const done = await approved;
  assert.deepEqual('order' in done ? [done.order.number, done.order.by] : [], [1, 'root, approved by ben']);
  assert.deepEqual(it.inventory.approvals.all(), []);
});
