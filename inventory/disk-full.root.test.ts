import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openInventory } from './inventory.ts';
import { StorageError } from './store.ts';

test('a full disk: one sentence, memory as before, nothing half-written, and all is well once there is room', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'muster-full', directory]);
  try {
    const options = { directory, now: Date.now, random: randomBytes };
    const ballast = join(directory, 'ballast');
    const stored: string[] = [];
    {
      await using inventory = await openInventory(options);
      await inventory.addCustomer({ name: 'first' });
      stored.push('first');
      await writeFile(ballast, Buffer.alloc((await free(directory)) - 64 * 1024));
      let failure: unknown;
      for (let i = 0; i < 1_000 && failure === undefined; i++) {
        const name = `c${i}`;
        try {
          await inventory.addCustomer({ name });
          stored.push(name);
        } catch (error) {
          failure = error;
        }
      }
      assert.ok(failure instanceof StorageError);
      assert.equal(
        failure.message,
        `cannot use ${directory}/inventory.sqlite: the disk is full; nothing was changed, make room and try again`,
      );
      assert.deepEqual(names(inventory.customers()), stored.toSorted());
      const given = inventory.kill('first', 'r', 'op', []);
      assert.equal(inventory.killedBy('first'), 1, 'an order is in force without the disk');
      while (!inventory.isStored(1) && inventory.problems().length === 0) await new Promise((go) => setTimeout(go, 10));
      inventory.addEvent('controller', 'test', 'does not throw');
      await inventory.events({ limit: 1 });

      await rm(ballast);
      await inventory.addCustomer({ name: 'last' });
      stored.push('last');
      const order = await given;
      assert.equal('refused' in order ? 0 : order.number, 1, 'it is stored once there is room');
      const events = await inventory.events({ limit: 5_000 });
      assert.ok(
        events.some(({ message }) => message === 'does not throw'),
        'what waited in memory is kept after all',
      );
    }
    await using inventory = await openInventory(options);
    assert.deepEqual(names(inventory.customers()), stored.toSorted());
    assert.equal(inventory.killedBy('first'), 1);
  } finally {
    execFileSync('umount', [directory]);
    await rm(directory, { recursive: true });
  }
});

async function free(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

function names(customers: { name: string }[]): string[] {
  return customers.map(({ name }) => name).toSorted();
}
