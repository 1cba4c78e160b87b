import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { randomBytes, randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openInventory } from './inventory.ts';

const rounds = 3;
const boundMs = 60_000;

test(
  'kill -9 in the midst of writing loses nothing that was acknowledged',
  { timeout: boundMs * rounds },
  async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'muster-crash-'));
    const acknowledged: string[] = [];
    for (let round = 0; round < rounds; round++) {
      // After a random number of acknowledgements rather than a time: a slow machine tests the same.
      const after = randomInt(1, 120);
      acknowledged.push(...(await writeUntilKilled({ directory, round, after })));
      await using inventory = await openInventory({ directory, now: Date.now, random: randomBytes });
      assert.equal(inventory.epoch, 2 * round + 2);
      for (const line of acknowledged) {
        const [kind, first = '', name = ''] = line.split(' ');
        if (kind === 'customer')
          assert.ok(inventory.customers.get(first), `round ${round}, after ${after}: ${line} is lost`);
        else if (kind === 'receipt')
          assert.equal(
            inventory.orders.receipts(Number(first)).length,
            1,
            `round ${round}, after ${after}: ${line} is lost`,
          );
        else
          assert.equal(
            inventory.orders.killedBy(name),
            Number(first),
            `round ${round}, after ${after}: ${line} is lost`,
          );
      }
      const bases = inventory.customers.all().map(({ uidBase }) => uidBase);
      assert.equal(new Set(bases).size, bases.length, 'a range of user ids was given twice');
      const orders = inventory.orders.all();
      assert.deepEqual(
        orders.map(({ number }) => number),
        orders.map((_, i) => i + 1),
      );
      for (const { number, scope } of orders)
        assert.equal(inventory.orders.killedBy(scope), number, 'half of a transaction');
      const verdict = await inventory.audit.verify();
      assert.deepEqual(verdict.problems, [], `round ${round}, after ${after}`);
      const receipts = orders.flatMap(({ number }) => inventory.orders.receipts(number)).length;
      assert.equal(verdict.entries, orders.length + receipts, 'each order and receipt has one entry');
      t.diagnostic(`round ${round}: ${verdict.entries} entries of the audit log, ${verdict.late} of all written late`);
    }
    await rm(directory, { recursive: true });
  },
);

async function writeUntilKilled({
  directory,
  round,
  after,
}: {
  directory: string;
  round: number;
  after: number;
}): Promise<string[]> {
  const writer = spawn(process.execPath, [join(import.meta.dirname, 'crash-writer.fixture.ts')], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  writer.send({ directory, round });
  const gone = once(writer, 'close');
  let text = '';
  assert.ok(writer.stdout);
  writer.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (text.split('\n').length > after) writer.kill('SIGKILL');
  });
  const [code, signal] = await gone;
  assert.equal(signal, 'SIGKILL', `the writer ended by itself with ${String(code)}`);

  return text.split('\n').slice(0, -1);
}
