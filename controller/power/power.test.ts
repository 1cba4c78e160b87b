import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { PowerConfiguration } from './configuration.ts';
import type { Board, PowerDriver } from './driver.ts';
import { startPower } from './power.ts';

const board = (slot: number): Board => ({ mac: `02:00:00:c2:00:0${slot}`, name: `n${slot}`, slot });
const boards = [1, 2, 3, 4, 5].map(board);
const of = (slot: number): Board => boards[slot - 1] ?? board(slot);

/** Slots 1 and 2 on one bank, 3 on two supplies, 4 by its MAC, 5 nowhere. */
const configuration: PowerConfiguration = {
  automatic: true,
  pdus: new Map(),
  feeds: [
    { pdu: 'left', outlet: '1', slots: new Set([1, 2, 3]), nodes: new Set() },
    { pdu: 'right', outlet: '7', slots: new Set([3]), nodes: new Set() },
    { pdu: 'left', outlet: '2', slots: new Set(), nodes: new Set([board(4).mac]) },
  ],
};

class Pdu implements PowerDriver {
  readonly off = new Set<string>();
  readonly said: string[] = [];
  busy = 0;
  mostBusy = 0;

  async turn(state: 'on' | 'off', { outlets, boards: told }: Parameters<PowerDriver['turn']>[1]): Promise<void> {
    this.mostBusy = Math.max(this.mostBusy, ++this.busy);
    await turn();
    this.said.push(`${state} ${outlets.join()} ${told.map(({ name }) => name).join()}`);
    for (const outlet of outlets)
      if (state === 'off') this.off.add(outlet);
      else this.off.delete(outlet);
    this.busy--;
  }

  isOff({ outlets }: { outlets: readonly string[] }): Promise<boolean> {
    return Promise.resolve(outlets.every((outlet) => this.off.has(outlet)));
  }
}

function rig() {
  const [left, right] = [new Pdu(), new Pdu()];
  const drivers = new Map<string, PowerDriver>([
    ['left', left],
    ['right', right],
  ]);
  return { left, right, drivers, power: startPower(configuration, { boards: () => boards, drivers }) };
}

test('a board’s outlets, and who loses power with it', () => {
  const { power } = rig();
  const table: [number, string[], string[]][] = [
    [1, ['left 1'], ['n2']],
    [2, ['left 1'], ['n1']],
    // n1 and n2 have nothing but the bank that n3 is on as well.
    [3, ['left 1', 'right 7'], ['n1', 'n2']],
    [4, ['left 2'], []],
    [5, [], []],
  ];
  for (const [slot, outlets, neighbours] of table) {
    assert.deepEqual(power.outletsOf(of(slot)), outlets);
    assert.deepEqual(
      power.neighboursOf(of(slot)).map(({ name }) => name),
      neighbours,
      `n${slot}`,
    );
  }
});

test('a board with two supplies is off when both are', async () => {
  const { power, left, right } = rig();
  left.off.add('1');
  assert.equal(await power.isOff(of(3), 1), false);
  assert.equal(await power.isOff(of(1), 1), true);
  await power.turn('off', { board: of(3), order: 1 });
  assert.ok(right.off.has('7'));
  assert.equal(await power.isOff(of(3), 1), true);
  assert.equal(await power.isOff(of(5), 1), false, 'what has no outlet is never off');
});

test('one request at a time to a PDU, and one command for a bank whose boards all ask', async () => {
  const { power, left } = rig();
  await Promise.all([1, 2, 4, 1].map((slot) => power.turn('off', { board: of(slot), order: 1 })));
  assert.deepEqual(left.said, ['off 1 n1,n2,n3', 'off 2 n4']);
  assert.equal(left.mostBusy, 1);
  await power.turn('off', { board: of(1), order: 2 });
  assert.equal(left.said.length, 3, 'a later one is given again');
});

test('a PDU that fails does not hold up its own queue, and the check names it', async () => {
  const { drivers } = rig();
  drivers.set('right', {
    turn: () => Promise.reject(new Error('relay stuck')),
    isOff: () => Promise.reject(new Error('no answer')),
  });
  const pdus = new Map([
    ['left', { kind: 'webhook' as const, url: '', token: undefined, ca: undefined, timeoutMs: 1 }],
    ['right', { kind: 'webhook' as const, url: '', token: undefined, ca: undefined, timeoutMs: 1 }],
  ]);
  const power = startPower({ ...configuration, pdus }, { boards: () => boards, drivers });
  await assert.rejects(power.turn('off', { board: of(3), order: 1 }), /relay stuck/);
  await assert.rejects(power.turn('off', { board: of(3), order: 1 }), /relay stuck/);
  assert.deepEqual(await power.check(), ['power.pdus.right cannot be used: no answer']);
});
