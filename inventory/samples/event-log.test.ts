// What is said of events while the tables take none: at once, and once.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { AuditLog } from '../audit/audit.ts';
import { openInventoryOn } from '../inventory.ts';
import { openSqliteStore } from '../store/sqlite-store.ts';
import { openLocalTables } from './local-tables.ts';

test('an order and its lift are said while the disk takes no events; a warning is not said again as an event', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-event-log-'));
  t.after(() => rm(directory, { recursive: true }));
  const warned: string[] = [];
  const said: string[] = [];
  let isPaused = true;
  let at = 1_000;
  await using inventory = await openInventoryOn({
    openStore: () => openSqliteStore(join(directory, 'inventory.sqlite')),
    openTables: (onEvent, say) =>
      openLocalTables(join(directory, 'local.sqlite'), { onEvent, ...say, isPaused: () => isPaused }),
    // It cannot be opened, which is a warning.
    openAudit: (options) => new AuditLog({ file: join(directory, 'none', 'audit.sqlite'), ...options }),
    found: ['the state directory was readable for others'],
    now: () => at,
    random: randomBytes,
    log: (message) => warned.push(message),
    eventLog: ({ at: when, kind, message }) => said.push(`${when} ${kind} ${message}`),
  });
  const streamed: string[] = [];
  inventory.subscribe((change) => (change.kind === 'event' ? streamed.push(change.event.message) : undefined));
  await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'ada', targets: [] });
  at = 2_000;
  await inventory.orders.lift({ scope: '*', reason: 'out', by: 'ben' });
  inventory.events.add({ kind: 'controller', subject: 'power', message: 'an outlet is away' });
  assert.deepEqual(streamed, [], 'nothing is on disk');
  assert.match(said.join('\n'), /^1000 kill stop .*: fire$/m);
  assert.match(said.join('\n'), /^2000 kill lifted by ben: out$/m);
  assert.equal(said.at(-1), '2000 controller an outlet is away');
  await assert.rejects(inventory.audit.verify(), /cannot read/);
  assert.equal(warned.length, 2, warned.join('\n'));

  at = 3_000;
  isPaused = false;
  const events = (await inventory.events.list({ limit: 100 })).map((event) => event.message);
  assert.deepEqual(streamed.slice(-3), events.slice(-3), 'the stream follows the disk');
  assert.deepEqual(
    events.filter((message) => warned.includes(message)).toSorted(),
    warned.toSorted(),
    'what was warned of is an event',
  );
  assert.deepEqual(
    [...said.map((line) => line.split(' ').slice(2).join(' ')), ...warned].toSorted(),
    events.toSorted(),
    'each is said once',
  );
});
