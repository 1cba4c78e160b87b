// An inventory that lost something, on real files: what the audit log knows stands again, and what nobody knows stays stopped.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Inventory, openInventory } from './inventory.ts';

interface Rig extends AsyncDisposable {
  /** A copy of the files as a kill -9 would have left them. */
  directory: string;
  said: string[];
  open: () => Promise<Inventory>;
}

/** 30 customers; `c0` is killed and lifted, `c1` is killed, and at the end `late` and the order for everything, if wanted. */
async function rig({ everything = false } = {}): Promise<Rig> {
  const root = await mkdtemp(join(tmpdir(), 'muster-recovery-'));
  const [first, directory] = [join(root, 'first'), join(root, 'copy')];
  const said: string[] = [];
  const options = { now: Date.now, random: randomBytes, log: (message: string) => void said.push(message) };
  {
    await using inventory = await openInventory({ directory: first, ...options });
    for (let each = 0; each < 30; each++) await inventory.customers.add({ name: `c${each}` });
    for (const scope of ['c0', 'c1']) await inventory.orders.kill({ scope, reason: 'spam', by: 'ada', targets: [] });
    await inventory.orders.lift({ scope: 'c0', reason: 'paid' });
    if (everything) await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'ada', targets: [] });
    await inventory.audit.entries({ limit: 1 });
    await inventory.customers.add({ name: 'last' });
    // The mark follows by moments; a process that is killed has had them long ago.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await cp(first, directory, { recursive: true });
  }
  return {
    directory,
    said,
    open: () => openInventory({ directory, ...options }),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true }),
  };
}

const scopes = (inventory: Inventory) => inventory.orders.standing().map(({ scope }) => scope);
const wal = (directory: string) => join(directory, 'inventory.sqlite-wal');

test('an inventory that lost nothing says nothing', async () => {
  await using it = await rig();
  await using inventory = await it.open();
  assert.equal(inventory.customers.all().length, 31);
  assert.deepEqual([scopes(inventory), it.said, inventory.problems()], [['c1'], [], []]);
});

for (const [name, damage] of [
  [
    'one changed region in its write-ahead log',
    async (directory: string) => {
      const bytes = await readFile(wal(directory));
      bytes.fill(0x5a, bytes.length >> 1, (bytes.length >> 1) + 512);
      await writeFile(wal(directory), bytes);
    },
  ],
  [
    'half a write-ahead log',
    async (directory: string) => truncate(wal(directory), (await stat(wal(directory))).size >> 1),
  ],
  [
    'no file',
    async (directory: string) => {
      for (const end of ['', '-wal']) await rm(join(directory, `inventory.sqlite${end}`));
    },
  ],
] as const)
  test(`${name}: the order stands again, it is said, and a lift ends it`, async () => {
    await using it = await rig({ everything: true });
    await damage(it.directory);
    {
      await using inventory = await it.open();
      assert.ok(inventory.customers.all().length < 31, 'the damage took effect');
      assert.deepEqual(scopes(inventory), ['c1', '*']);
      assert.match(it.said.join('\n'), /the inventory lost changes: it ends at revision \d+ and once was at \d+/);
      assert.match(it.said.join('\n'), /order 2 on c1 stands again.*muster lift c1 ends it/);
      assert.deepEqual(inventory.problems(), it.said);
      assert.match(JSON.stringify(await inventory.events.list({ limit: 50 })), /order 3 on everything stands again/);
      assert.ok(
        (await readdir(it.directory)).some((each) => each.startsWith('inventory.sqlite.damaged-')) ||
          name === 'no file',
      );
      const lifted = await inventory.orders.lift({ scope: '*', reason: 'looked at' });
      assert.equal('number' in lifted ? lifted.number : 0, 3);
      await inventory.customers.add({ name: 'new' });
      const order = await inventory.orders.kill({ scope: 'new', reason: 'r', by: 'ada', targets: [] });
      assert.equal('number' in order ? order.number : 0, 4, 'no number is given twice');
    }
    it.said.length = 0;
    await using again = await it.open();
    assert.deepEqual([scopes(again), it.said], [['c1', 'new'], []], 'it is said once, and nothing comes back');
  });

test('where the audit log cannot tell either, everything stays stopped until it is lifted', async () => {
  await using it = await rig();
  await rm(join(it.directory, 'inventory.sqlite'));
  await rm(wal(it.directory));
  await rm(join(it.directory, 'audit.sqlite-wal'), { force: true });
  await writeFile(
    join(it.directory, 'audit.sqlite'),
    'no database at all, and long enough to be taken for one'.repeat(50),
  );
  await using inventory = await it.open();
  assert.deepEqual(scopes(inventory), ['*']);
  assert.match(it.said.join('\n'), /cannot tell which orders stood: order 1 keeps everything stopped/);
  assert.ok('number' in (await inventory.orders.lift({ scope: '*', reason: 'all is known' })));
});

test('an older inventory beside its audit log: a backup that was put back', async () => {
  await using it = await rig();
  const backup = join(it.directory, '..', 'backup');
  await cp(it.directory, backup, { recursive: true });
  {
    await using inventory = await it.open();
    await inventory.orders.kill({ scope: 'c5', reason: 'after the backup', by: 'ada', targets: [] });
    await inventory.orders.lift({ scope: 'c1', reason: 'after the backup' });
    await inventory.audit.entries({ limit: 1 });
  }
  for (const end of ['', '-wal', '-journal', '-shm'])
    await rm(join(it.directory, `inventory.sqlite${end}`), { force: true });
  await rm(join(it.directory, 'inventory.revision'));
  for (const end of ['', '-wal'])
    await cp(join(backup, `inventory.sqlite${end}`), join(it.directory, `inventory.sqlite${end}`));
  await using inventory = await it.open();
  // What was lifted since stays stopped: lifting it again costs less than running what must not.
  assert.deepEqual(scopes(inventory), ['c1', 'c5']);
});

test('events that are damaged are moved aside, and nothing else is in the way', async () => {
  await using it = await rig();
  for (const end of ['', '-wal']) await writeFile(join(it.directory, `local.sqlite${end}`), randomBytes(20_000));
  await using inventory = await it.open();
  assert.match(
    it.said.join('\n'),
    /local\.sqlite was damaged: events, samples and log lines begin anew, the old ones are in/,
  );
  assert.ok((await readdir(it.directory)).some((each) => each.startsWith('local.sqlite.damaged-')));
  assert.deepEqual(scopes(inventory), ['c1']);
  assert.match(JSON.stringify(await inventory.events.list({ limit: 5 })), /was damaged/);
});

test('the state directory is for its owner only, and it is said where it was not', async () => {
  await using it = await rig();
  await mkdir(join(it.directory, 'images'), { recursive: true, mode: 0o755 });
  await chmod(join(it.directory, 'inventory.sqlite'), 0o644);
  await chmod(it.directory, 0o755);
  await using inventory = await it.open();
  assert.match(
    it.said.join('\n'),
    /was open to other users of this machine \(the directory itself, .*inventory\.sqlite/,
  );
  for (const each of ['.', ...(await readdir(it.directory))])
    assert.equal((await stat(join(it.directory, each))).mode & 0o077, 0, each);
  assert.equal(inventory.customers.all().length, 31);
});

test('a backup made while it runs: a controller that starts on it knows the same, and nothing is in doubt', async () => {
  await using it = await rig();
  const backup = join(it.directory, 'backup');
  await using inventory = await it.open();
  let adding = true;
  const meanwhile = (async () => {
    for (let each = 0; adding; each++) await inventory.customers.add({ name: `m${each}` });
  })();
  await inventory.backup(backup);
  adding = false;
  await meanwhile;
  const said: string[] = [];
  await using restored = await openInventory({
    directory: backup,
    now: Date.now,
    random: randomBytes,
    log: (message) => void said.push(message),
  });
  assert.deepEqual(said, []);
  assert.deepEqual(restored.orders.all(), inventory.orders.all());
  assert.deepEqual((await restored.audit.verify()).problems, []);
  for (const { name } of restored.customers.all()) assert.ok(inventory.customers.get(name) !== undefined, name);
  assert.ok(restored.customers.all().length >= 31);
});
