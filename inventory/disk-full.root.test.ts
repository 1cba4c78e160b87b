import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, statSync, type Stats } from 'node:fs';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openInventory, type Inventory } from './inventory.ts';
import { StorageError } from './store/store.ts';
import { macOf } from './rack.fixture.ts';
import { until } from '../test/until.ts';

const sizeBytes = 16 * 2 ** 20;
const reserveBytes = sizeBytes / 16;

test('a full disk: orders and removals go on in the reserve, nothing else does, all is well once there is room', async () => {
  await using disk = await smallDisk();
  const { directory } = disk;
  const said: string[] = [];
  const options = { directory, now: Date.now, random: randomBytes, log: (message: string) => void said.push(message) };
  const ballast = join(directory, 'ballast');
  const stored = new Set(['first', 'second']);
  {
    await using inventory = await openInventory(options);
    for (const name of stored) await inventory.customers.add({ name });
    await inventory.leases.save([lease]);
    await until('the reserve has its blocks', () => (reserveOf(directory)?.blocks ?? 0) * 512 === reserveBytes);
    await writeFile(ballast, Buffer.alloc((await free(directory)) - 64 * 1024));
    const failure = await fillUp(inventory, stored);
    assert.ok(failure instanceof StorageError);
    assert.equal(failure.message, refusal);
    assert.equal(reserveOf(directory), undefined);
    assert.match(said.join('\n'), /^the disk is full: .* everything else is refused until 2 MiB are free$/);
    assert.deepEqual(inventory.problems(), said);
    assert.deepEqual(names(inventory.customers.all()), [...stored].toSorted());

    const before = await free(directory);
    inventory.logs.add(Array.from({ length: 1_000 }, () => ({ ...line, text: 'x'.repeat(200) })));
    inventory.events.add({ kind: 'controller', subject: 'test', message: 'waits' });
    await inventory.events.list({ limit: 1 });
    assert.equal(await free(directory), before, 'what boards say takes nothing of it');
    await safeDecisionsGoOn(inventory);
    stored.delete('second');

    // The last of it is taken by somebody else.
    await writeFile(join(directory, 'more'), Buffer.alloc(await free(directory)));
    const given = inventory.orders.kill({ scope: 'first', reason: 'r'.repeat(400), by: 'op', targets: [] });
    assert.equal(inventory.orders.killedBy('first'), 2, 'an order is in force without the disk');
    await until('the order is stored or told', () => inventory.orders.isStored(2) || inventory.problems().length >= 2);

    await rm(ballast);
    await inventory.customers.add({ name: 'last' });
    stored.add('last');
    await given;
    await until('the reserve is back', () => reserveOf(directory)?.size === reserveBytes);
    await until('no problem is left', () => inventory.problems().length === 0);
    assert.equal(said.filter((each) => each.startsWith('there is room on the disk again')).length, 1);
    assert.equal(said.filter((each) => each.startsWith('the disk is full')).length, 1);
    const messages = (await inventory.events.list({ limit: 5_000 })).map(({ message }) => message);
    assert.ok(messages.includes('waits'), 'what waited in memory is kept after all');
    assert.ok(messages.some((message) => message.startsWith('the disk is full')));
  }
  await using inventory = await openInventory(options);
  assert.deepEqual(names(inventory.customers.all()), [...stored].toSorted());
  assert.equal(inventory.orders.killedBy('first'), 2);
});

test('a controller starts on a full disk, and gives and lifts orders there', async () => {
  await using disk = await smallDisk();
  const { directory } = disk;
  const options = { directory, now: Date.now, random: randomBytes };
  {
    await using inventory = await openInventory(options);
    await inventory.customers.add({ name: 'first' });
    await until(
      'the reserve is there',
      () => (statSync(join(directory, 'reserve'), { throwIfNoEntry: false })?.size ?? 0) === reserveBytes,
    );
  }
  await writeFile(join(directory, 'ballast'), Buffer.alloc(await free(directory)));
  const reserve = join(directory, 'reserve');
  for (let start = 1; start <= 2; start++) {
    // An earlier process may have ended while it made it anew.
    if (start === 2) await writeFile(reserve, Buffer.alloc(64 * 1024));
    await using inventory = await openInventory(options);
    await until('the reserve is whole or away', () => !existsSync(reserve) || statSync(reserve).size === reserveBytes);
    assert.equal(inventory.epoch, start + 1);
    assert.ok(!('refused' in (await inventory.orders.kill({ scope: 'first', reason: 'r', by: 'op', targets: [] }))));
    assert.ok(!('refused' in (await inventory.orders.lift({ scope: 'first', reason: '' }))));
    await assert.rejects(inventory.customers.add({ name: 'second' }), /the disk is full/);
    assert.match(inventory.problems().join('\n'), /^the disk is full/);
  }
});

const lease = { ip: '10.77.0.9', mac: macOf(1), state: 'bound', expiresAtMs: 1 } as const;
const refusal =
  'cannot store this: the disk is full; nothing was changed, make room and try again ' +
  '(kill orders, lifts and removals are stored all the same)';

/** A directory that has a file system of its own. */
async function smallDisk(): Promise<AsyncDisposable & { directory: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'muster-full', directory]);
  return {
    directory,
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', [directory]);
      await rm(directory, { recursive: true });
    },
  };
}

function reserveOf(directory: string): Stats | undefined {
  return statSync(join(directory, 'reserve'), { throwIfNoEntry: false });
}

/** Adds customers until one is refused, and gives why. */
async function fillUp(inventory: Inventory, stored: Set<string>): Promise<unknown> {
  for (let i = 0; i < 1_000; i++) {
    try {
      await inventory.customers.add({ name: `c${i}` });
    } catch (error) {
      return error;
    }
    stored.add(`c${i}`);
  }
  return undefined;
}

/** `first` is stopped and may run again, `second` is removed; a new address or customer finds no room. */
async function safeDecisionsGoOn(inventory: Inventory): Promise<void> {
  const order = await inventory.orders.kill({ scope: 'first', reason: 'r', by: 'op', targets: [macOf(1)] });
  assert.equal('refused' in order ? 0 : order.number, 1, 'stored');
  const receipt = { evidence: 'silence', evidenceAfterMs: 1, stoppedAfterMs: null, processes: 0 } as const;
  await inventory.orders.saveReceipt({ number: 1, mac: macOf(1), receipt });
  await inventory.orders.lift({ scope: 'first', reason: 'over' });
  assert.deepEqual(await inventory.customers.remove('second'), { removed: 'second' });
  await inventory.leases.save([{ ...lease, expiresAtMs: 2 }]);
  await assert.rejects(inventory.leases.save([{ ...lease, ip: '10.77.0.10' }]), /the disk is full/);
  assert.deepEqual(
    (await inventory.audit.entries({ limit: 10 })).map(({ kind }) => kind),
    ['order', 'receipt', 'lift'],
  );
  await assert.rejects(inventory.customers.add({ name: 'late' }), { message: refusal });
}

const line = { at: 0, customer: 'first', workload: 'web', instance: 'web-00000001', stream: 'stdout' } as const;

async function free(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

function names(customers: { name: string }[]): string[] {
  return customers.map(({ name }) => name).toSorted();
}
