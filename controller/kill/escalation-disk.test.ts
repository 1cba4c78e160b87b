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

for (const disk of ['refuses', 'hangs'] as const)
  test(`a disk that ${disk} keeps no power on, and has all of it later`, { timeout: 30_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'muster-escalation-'));
    let state: 'takes' | 'refuses' | 'hangs' = 'takes';
    const healed = Promise.withResolvers<void>();
    const gated = (store: Store) =>
      gatedStore(store, async () => {
        if (state === 'hangs') await healed.promise;
        if (state === 'refuses') throw new StorageError('cannot store: the disk failed');
      });
    const open = (): Promise<Inventory> =>
      openInventoryOn({
        openStore: async () => gated(await openSqliteStore(join(directory, 'inventory.sqlite'))),
        openTables: (onEvent) => openLocalTables(join(directory, 'local.sqlite'), { onEvent }),
        now: Date.now,
        random: randomBytes,
        pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms / 50).unref()),
      });
    try {
      {
        await using inventory = await open();
        await joinBoard(inventory, { mac: board });
        await placeWeb(inventory, { customer: 'acme', nodes: [board] });
        let clock = 100_000;
        const givenAt = clock;
        const turned: string[] = [];
        const failures = new Set<string>();
        await using escalation = startEscalation({
          inventory,
          rollCall: {
            askedForMs: () => clock - givenAt,
            heardUpTo: () => clock,
            listeningForMs: () => 100_000,
            mayHold: () => false,
            sinceGiven: () => clock - givenAt,
          },
          shell: { prepare: () => undefined, run: () => Promise.reject(new Error('nobody answers')) },
          power: {
            automatic: true,
            outletsOf: () => ['left 1'],
            neighboursOf: () => [],
            turn: (to) => Promise.resolve(void turned.push(to)),
            isOff: () => Promise.resolve(true),
            check: () => Promise.resolve([]),
          },
          now: () => clock,
          pause: async (ms) => {
            clock += ms;
            await nextTurn();
          },
          onFailure: (error) => void failures.add(String(error)),
        });

        // Before and after the order: the steps of one that waits for the disk itself wait with it.
        if (disk === 'hangs') state = disk;
        const given = inventory.orders
          .kill({ scope: 'acme', reason: 'r', by: 'op', targets: [board] })
          .catch((error: unknown) => error);
        if (disk === 'refuses') await given;
        state = disk;
        const isStopped = () => inventory.orders.receipts(1).some(({ evidence }) => evidence === 'power');
        for (const deadline = Date.now() + 15_000; !isStopped(); clock += 5) {
          assert.ok(
            Date.now() < deadline,
            `it has its power: ${JSON.stringify(inventory.orders.escalationSteps(1, board))}`,
          );
          if (turned.length === 0) inventory.nodes.heartbeat(board, { at: clock });
          escalation.pursue();
          await nextTurn();
        }
        assert.deepEqual([...failures], []);
        assert.deepEqual(turned, ['off'], 'once: the attempt counts from memory');
        const shown = inventory.orders.escalationSteps(1, board).filter(({ by }) => by === 'power');
        assert.deepEqual(
          shown.map(({ outcome }) => outcome),
          ['tried', 'stopped'],
        );
        assert.equal(inventory.orders.isStored(1), disk === 'refuses');
        if (disk === 'refuses') assert.match(inventory.problems().join('\n'), /on 1 nodes .* in memory only/);

        state = 'takes';
        healed.resolve();
        assert.ok(!((await given) instanceof Error));
        await until(
          'the order and the fence are stored',
          () => inventory.nodes.get(board)?.fenced === true && inventory.orders.isStored(1),
        );
        await until('no problem is left', () => inventory.problems().length === 0);
        await until('the receipt is stored', () => inventory.orders.pending(board).length === 0);
      }
      await using inventory = await open();
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
    } finally {
      await rm(directory, { recursive: true });
    }
  });
