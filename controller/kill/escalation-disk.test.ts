// A board that does not acknowledge loses its power also where the controller's disk takes nothing, or does not answer. The store
// is the real one behind a gate; SSH and the PDU are what the test says.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Inventory, openInventoryOn } from '../../inventory/inventory.ts';
import { openLocalTables } from '../../inventory/samples/local-tables.ts';
import { gatedStore } from '../../inventory/store/gated-store.fixture.ts';
import { openSqliteStore } from '../../inventory/store/sqlite-store.ts';
import { type Store, StorageError } from '../../inventory/store/store.ts';
import { joinBoard, macOf, placeWeb } from '../../inventory/rack.fixture.ts';
import { startEscalation } from './escalation.ts';
import { until } from '../../test/until.ts';

const board = macOf(1);

type DiskState = 'takes' | 'refuses' | 'hangs';

/** A state directory on a disk that does what it is told to. */
class Disk {
  readonly directory: string;
  state: DiskState = 'takes';
  readonly #healed = Promise.withResolvers<void>();

  constructor(directory: string) {
    this.directory = directory;
  }

  heal(): void {
    this.state = 'takes';
    this.#healed.resolve();
  }

  open(): Promise<Inventory> {
    return openInventoryOn({
      openStore: async () => this.#gated(await openSqliteStore(join(this.directory, 'inventory.sqlite'))),
      openTables: (onEvent) => openLocalTables(join(this.directory, 'local.sqlite'), { onEvent }),
      now: Date.now,
      random: randomBytes,
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms / 50).unref()),
    });
  }

  #gated(store: Store): Store {
    return gatedStore(store, async () => {
      if (this.state === 'hangs') await this.#healed.promise;
      if (this.state === 'refuses') throw new StorageError('cannot store: the disk failed');
    });
  }
}

/** An escalation under a clock of its own, since an order that is given as it begins. Nobody answers by SSH. */
function escalate(inventory: Inventory) {
  const givenAt = 100_000;
  const told = { clock: givenAt, turned: [] as string[], failures: new Set<string>() };
  const sinceGiven = () => told.clock - givenAt;
  const escalation = startEscalation({
    inventory,
    rollCall: {
      askedForMs: sinceGiven,
      heardUpTo: () => told.clock,
      listeningForMs: () => 100_000,
      mayHold: () => false,
      sinceGiven,
    },
    shell: { prepare: () => undefined, run: () => Promise.reject(new Error('nobody answers')) },
    power: {
      automatic: true,
      outletsOf: () => ['left 1'],
      neighboursOf: () => [],
      turn: (to) => Promise.resolve(void told.turned.push(to)),
      isOff: () => Promise.resolve(true),
      check: () => Promise.resolve([]),
    },
    now: () => told.clock,
    pause: async (ms) => {
      told.clock += ms;
      await nextTurn();
    },
    onFailure: (error) => void told.failures.add(String(error)),
  });
  return { escalation, told };
}

/** Until the board's power counts as cut. It talks until it is. */
async function untilCut(inventory: Inventory, { escalation, told }: ReturnType<typeof escalate>): Promise<void> {
  const isStopped = () => inventory.orders.receipts(1).some(({ evidence }) => evidence === 'power');
  for (const deadline = Date.now() + 15_000; !isStopped(); told.clock += 5) {
    const steps = () => JSON.stringify(inventory.orders.escalationSteps(1, board));
    assert.ok(Date.now() < deadline, `it has its power: ${steps()}`);
    if (told.turned.length === 0) inventory.nodes.heartbeat(board, { at: told.clock });
    escalation.pursue();
    await nextTurn();
  }
}

for (const failure of ['refuses', 'hangs'] as const)
  test(`a disk that ${failure} keeps no power on, and has all of it later`, { timeout: 30_000 }, async (t) => {
    const disk = new Disk(await mkdtemp(join(tmpdir(), 'muster-escalation-')));
    t.after(() => rm(disk.directory, { recursive: true }));
    {
      await using inventory = await disk.open();
      await joinBoard(inventory, { mac: board });
      await placeWeb(inventory, { customer: 'acme', nodes: [board] });
      const begun = escalate(inventory);
      await using _ended = begun.escalation;

      // Before and after the order: the steps of one that waits for the disk itself wait with it.
      if (failure === 'hangs') disk.state = failure;
      const given = inventory.orders
        .kill({ scope: 'acme', reason: 'r', by: 'op', targets: [board] })
        .catch((error: unknown) => error);
      if (failure === 'refuses') await given;
      disk.state = failure;
      await untilCut(inventory, begun);
      assert.deepEqual([...begun.told.failures], []);
      assert.deepEqual(begun.told.turned, ['off'], 'once: the attempt counts from memory');
      const shown = inventory.orders.escalationSteps(1, board).filter(({ by }) => by === 'power');
      assert.deepEqual(
        shown.map(({ outcome }) => outcome),
        ['tried', 'stopped'],
      );
      assert.equal(inventory.orders.isStored(1), failure === 'refuses');
      if (failure === 'refuses') assert.match(inventory.problems().join('\n'), /on 1 nodes .* in memory only/);

      disk.heal();
      assert.ok(!((await given) instanceof Error));
      await until(
        'the order and the fence are stored',
        () => inventory.nodes.get(board)?.fenced === true && inventory.orders.isStored(1),
      );
      await until('no problem is left', () => inventory.problems().length === 0);
      await until('the receipt is stored', () => inventory.orders.pending(board).length === 0);
    }
    await using inventory = await disk.open();
    const outcomes = inventory.orders.escalationSteps(1, board).map(({ by, outcome }) => `${by} ${outcome}`);
    assert.deepEqual(
      outcomes.filter((each) => each.startsWith('power')),
      ['power tried', 'power stopped'],
    );
    assert.ok(outcomes.includes('ssh failed'));
    assert.deepEqual(
      inventory.orders.receipts(1).map(({ evidence }) => evidence),
      ['power'],
    );
    assert.equal(inventory.nodes.get(board)?.fenced, true);
  });
