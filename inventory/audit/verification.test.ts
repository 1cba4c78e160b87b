// A long verification, beside which the controller works on.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Cache } from '../store/cache.ts';
import type { OrderDocument } from '../store/documents.ts';
import { AuditLog } from './audit.ts';
import { AuditFeed } from './feed.ts';
import { verifyAudit } from './verification.ts';

function order(number: number): OrderDocument {
  const given = { scope: '*', reason: 'fire', by: 'ada', at: 1, targets: [] };
  return { number, ...given, liftedAt: null, liftReason: null };
}

test('a long verification gives way, and what changes meanwhile does not show in it', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-audit-'));
  t.after(() => rm(directory, { recursive: true }));
  const cache = new Cache();
  const feed = new AuditFeed(cache, 0);
  await using log = new AuditLog({
    file: join(directory, 'audit.sqlite'),
    now: () => 1,
    source: feed,
    log: (message) => assert.fail(message),
  });
  for (let asked = 1; asked <= 300; asked++)
    log.append({ kind: 'approval', subject: String(asked), body: { step: 'asked' } });
  feed.tell(log, cache.apply([{ key: 'orders/1', value: order(1), revision: 1 }]));

  let turns = 0;
  let now = 0;
  const nextTurn = () => {
    if (turns++ === 0)
      feed.tell(
        log,
        cache.apply([
          { key: 'orders/1', value: undefined, revision: 2 },
          { key: 'orders/2', value: order(2), revision: 3 },
        ]),
      );
    return Promise.resolve();
  };
  const clock = () => (now += 0.5);
  const { entries, problems } = await verifyAudit(log, {
    documentsNow: () => feed.documentsNow(),
    turns: { nextTurn, clock },
  });
  assert.deepEqual({ entries, problems }, { entries: 301, problems: [] });
  // Every 2 ms by that clock.
  assert.ok(turns > 100, `${turns} turns`);
});
