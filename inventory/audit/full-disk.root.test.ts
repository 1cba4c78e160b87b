// A disk that runs full under the audit log alone: orders go on, nothing of the log is lost.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { AuditLog } from './audit.ts';
import { openInventoryOn } from '../inventory.ts';
import { openLocalTables } from '../samples/local-tables.ts';
import { openSqliteStore } from '../store/sqlite-store.ts';
import { macOf } from '../rack.fixture.ts';

test('a full disk: entries wait, it is said once, and all are written in order once there is room', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-audit-full-'));
  const logs = join(directory, 'log');
  await mkdir(logs);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'muster-audit-full', logs]);
  try {
    const said: string[] = [];
    await using inventory = await openInventoryOn({
      openStore: () => openSqliteStore(join(directory, 'inventory.sqlite')),
      openTables: (onEvent) => openLocalTables(join(directory, 'local.sqlite'), { onEvent }),
      openAudit: (options) => new AuditLog({ file: join(logs, 'audit.sqlite'), ...options }),
      now: Date.now,
      random: randomBytes,
      log: (message) => said.push(message),
    });
    await inventory.customers.add({ name: 'acme' });
    const node = macOf(1);
    const round = async (): Promise<void> => {
      const order = await inventory.orders.kill({ scope: 'acme', reason: 'r'.repeat(400), by: 'op', targets: [node] });
      assert.ok(!('refused' in order), 'an order needs no audit log');
      const facts = { evidence: 'silence', evidenceAfterMs: 1, stoppedAfterMs: null, processes: 0 } as const;
      await inventory.orders.saveReceipt({ number: order.number, mac: node, receipt: facts });
      await inventory.orders.lift({ scope: 'acme', reason: '' });
    };
    await round();
    assert.deepEqual((await inventory.audit.verify()).entries, 3);
    const { bavail, bsize } = await statfs(logs);
    const ballast = join(logs, 'ballast');
    await writeFile(ballast, Buffer.alloc(bavail * bsize - 32 * 1024));
    for (let i = 0; i < 400 && said.length === 0; i++) {
      await round();
      // Reading tries to write what waits first.
      await inventory.audit.entries({ limit: 1 });
    }
    assert.equal(said.length, 1, 'the disk took it all');
    assert.match(said[0] ?? '', /the audit log cannot be written, \d+ entries wait in memory: .*the disk is full/);
    await round();
    const { problems } = await inventory.audit.verify();
    assert.match(problems.join('\n'), /^\d+ entries wait for a disk that takes none$/);
    assert.equal(said.length, 1, said.join('\n'));

    await rm(ballast);
    while (said.length < 2) await wait(20);
    assert.match(said[1] ?? '', /is written again/);
    const verdict = await inventory.audit.verify();
    assert.deepEqual([verdict.problems, verdict.late], [[], 0]);
    const numbers = inventory.orders.all().map(({ number }) => number);
    assert.equal(verdict.entries, 3 * Math.max(...numbers), 'three for each order, none lost');
    const events = await inventory.events.list({ limit: 5_000, subject: 'audit' });
    assert.equal(events.length, 2, 'both are events as well');
  } finally {
    execFileSync('umount', [logs]);
    await rm(directory, { recursive: true });
  }
});
