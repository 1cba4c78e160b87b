import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
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

/** A directory that is a disk of its own. */
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

const refusal =
  'cannot store this: the disk is full; nothing was changed, make room and try again ' +
  '(kill orders, lifts and removals are stored all the same)';
const lease = { ip: '10.77.0.9', mac: macOf(1), state: 'bound', expiresAtMs: 1 } as const;

/** The error, where it is refused. */
async function addCustomer(inventory: Inventory, name: string): Promise<unknown> {
  try {
    await inventory.customers.add({ name });
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Adds customers until one finds no room; gives those that did. */
async function fillUp(inventory: Inventory): Promise<string[]> {
  const added: string[] = [];
  for (let i = 0; i < 1_000; i++) {
    const failure = await addCustomer(inventory, `c${i}`);
    if (failure !== undefined) {
      assert.ok(failure instanceof StorageError);
      assert.equal(failure.message, refusal);
      return added;
    }
    added.push(`c${i}`);
  }
  throw new Error('the disk took a thousand customers');
}

/** An order, its receipt, its lift, a removal, the renewal of a lease; and nothing else. */
async function storesWhatIsSafer(inventory: Inventory): Promise<void> {
  const order = await inventory.orders.kill({ scope: 'first', reason: 'r', by: 'op', targets: [macOf(1)] });
  assert.equal('refused' in order ? 0 : order.number, 1, 'stored');
  const receipt = { evidence: 'silence', confirmedAfterMs: 1, stoppedAfterMs: null, processes: 0 } as const;
  await inventory.orders.saveReceipt({ number: 1, mac: macOf(1), receipt });
  await inventory.orders.lift({ scope: 'first', reason: 'over' });
  assert.deepEqual(await inventory.customers.remove('second'), { removed: 'second' });
  await inventory.leases.save([{ ...lease, expiresAtMs: 2 }]);
  await assert.rejects(inventory.leases.save([{ ...lease, ip: '10.77.0.10' }]), /the disk is full/);
  assert.deepEqual(
    (await inventory.audit.entries({ limit: 10 })).map(({ kind }) => kind),
    ['order', 'receipt', 'lift'],
  );
  const late = await addCustomer(inventory, 'late');
  assert.equal(late instanceof StorageError ? late.message : late, refusal);
}

test('a full disk: orders and removals go on in the reserve, nothing else does, all is well once there is room', async () => {
  await using disk = await smallDisk();
  const { directory } = disk;
  const said: string[] = [];
  const log = (message: string) => void said.push(message);
  const options = { directory, now: Date.now, random: randomBytes, log };
  const [ballast, reserve] = [join(directory, 'ballast'), join(directory, 'reserve')];
  const hasReserve = () => existsSync(reserve) && statSync(reserve).size === reserveBytes;
  const stored = new Set(['first', 'second']);
  {
    await using inventory = await openInventory(options);
    for (const name of stored) await inventory.customers.add({ name });
    await inventory.leases.save([lease]);
    const reserveBlocks = () => statSync(reserve, { throwIfNoEntry: false })?.blocks ?? 0;
    await until('the reserve has its blocks', () => reserveBlocks() * 512 === reserveBytes);
    await writeFile(ballast, Buffer.alloc((await free(directory)) - 64 * 1024));
    for (const name of await fillUp(inventory)) stored.add(name);
    assert.ok(!existsSync(reserve));
    assert.match(said.join('\n'), /^the disk is full: .* everything else is refused until 2 MiB are free$/);
    assert.deepEqual(inventory.problems(), said);
    assert.deepEqual(names(inventory.customers.all()), [...stored].toSorted());

    const before = await free(directory);
    inventory.logs.add(Array.from({ length: 1_000 }, () => ({ ...line, text: 'x'.repeat(200) })));
    inventory.events.add({ kind: 'controller', subject: 'test', message: 'waits' });
    await inventory.events.list({ limit: 1 });
    assert.equal(await free(directory), before, 'what boards say takes nothing of it');
    await storesWhatIsSafer(inventory);
    stored.delete('second');

    // The last of it is taken by somebody else.
    await writeFile(join(directory, 'more'), Buffer.alloc(await free(directory)));
    const given = inventory.orders.kill({ scope: 'first', reason: 'r'.repeat(400), by: 'op', targets: [] });
    assert.equal(inventory.orders.killedBy('first'), 2, 'an order is in force without the disk');
    const isStoredOrTold = () => inventory.orders.isStored(2) || inventory.problems().length >= 2;
    await until('the order is stored or told', isStoredOrTold);

    await rm(ballast);
    assert.equal(await addCustomer(inventory, 'last'), undefined, 'room is all that it needs');
    stored.add('last');
    await given;
    await until('the reserve is back', hasReserve);
    await until('no problem is left', () => inventory.problems().length === 0);
    assert.equal(said.filter((each) => each.startsWith('there is room on the disk again')).length, 1);
    assert.equal(said.filter((each) => each.startsWith('the disk is full')).length, 1);
    const told = (await inventory.events.list({ limit: 5_000 })).map(({ message }) => message);
    assert.ok(told.includes('waits'), 'what waited in memory is kept after all');
    assert.ok(told.some((message) => message.startsWith('the disk is full')));
  }
  await using inventory = await openInventory(options);
  assert.deepEqual(names(inventory.customers.all()), [...stored].toSorted());
  assert.equal(inventory.orders.killedBy('first'), 2);
});

test('a controller starts on a full disk, and gives and lifts orders there', async () => {
  await using disk = await smallDisk();
  const { directory } = disk;
  const options = { directory, now: Date.now, random: randomBytes };
  const reserve = join(directory, 'reserve');
  const reserveSize = () => statSync(reserve, { throwIfNoEntry: false })?.size ?? 0;
  {
    await using inventory = await openInventory(options);
    await inventory.customers.add({ name: 'first' });
    await until('the reserve is there', () => reserveSize() === reserveBytes);
  }
  await writeFile(join(directory, 'ballast'), Buffer.alloc(await free(directory)));
  for (let start = 1; start <= 2; start++) {
    // An earlier process may have ended while it made it anew.
    if (start === 2) await writeFile(reserve, Buffer.alloc(64 * 1024));
    await using inventory = await openInventory(options);
    await until('the reserve is whole or away', () => !existsSync(reserve) || reserveSize() === reserveBytes);
    assert.equal(inventory.epoch, start + 1);
    assert.ok(!('refused' in (await inventory.orders.kill({ scope: 'first', reason: 'r', by: 'op', targets: [] }))));
    assert.ok(!('refused' in (await inventory.orders.lift({ scope: 'first', reason: '' }))));
    await assert.rejects(inventory.customers.add({ name: 'second' }), /the disk is full/);
    assert.match(inventory.problems().join('\n'), /^the disk is full/);
  }
});

const line = { at: 0, customer: 'first', workload: 'web', instance: 'web-00000001', stream: 'stdout' } as const;

async function free(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

function names(customers: { name: string }[]): string[] {
  return customers.map(({ name }) => name).toSorted();
}
