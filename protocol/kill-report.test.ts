// The page and its text, kept as they should look. `UPDATE_GOLDEN=1 node --test protocol/kill-report.test.ts` writes
// the page anew.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { KillNode, KillTimeline } from './api/orders.ts';
import { escalationText, killReport, killReportHtml, quantile, slowestFirst } from './kill-report.ts';

const golden = new URL('kill-report.golden.txt', import.meta.url);
const at = Date.UTC(2026, 10, 21, 4, 15, 9);

function node(number: number, facts: Partial<KillNode>): KillNode {
  return {
    mac: `02:00:00:c2:00:0${number}`,
    name: `node-${number}`,
    evidence: 'receipt',
    sentAfterMs: 1.4,
    stoppedAfterMs: 20,
    confirmedAfterMs: 40.26,
    processes: 3,
    escalation: [],
    ...facts,
  };
}

const hostile = `<script>alert("1")</script> & 'x' \u0000\u001b[31m`;
const timeline = [
  node(1, {}),
  node(2, { evidence: 'silence', stoppedAfterMs: null, confirmedAfterMs: 4_000, processes: 0 }),
  node(3, {
    evidence: null,
    confirmedAfterMs: null,
    stoppedAfterMs: null,
    escalation: [
      { afterMs: 5_000, by: 'ssh', outcome: 'tried', detail: 'asked' },
      { afterMs: 8_000, by: 'ssh', outcome: 'failed', detail: hostile },
    ],
  }),
  node(4, { name: hostile, confirmedAfterMs: 143 }),
];
const order: KillTimeline = {
  number: 3,
  scope: 'acme',
  reason: hostile,
  by: 'anna',
  at,
  liftedAt: at + 60_000,
  liftedBy: 'ben',
  stored: true,
  nodes: 4,
  stopped: 3,
  slowestMs: 4_000,
  unconfirmed: ['node-3'],
  holding: ['acme'],
  timeline,
};
const facts = { order, rack: hostile, audit: { sequence: 12, hash: 'ab'.repeat(32) }, at: at + 120_000 };

test('the page is as it was', () => {
  const page = killReportHtml(facts);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, page);
  assert.equal(page, readFileSync(golden, 'utf8'));
});

test('nothing that came from outside gets through as markup', () => {
  const page = killReportHtml(facts);
  const scope = killReportHtml({ ...facts, order: { ...order, scope: hostile, by: hostile, holding: [hostile] } });
  for (const text of [page, scope]) {
    for (const bad of ['<script', '\u001b', '\u0000']) assert.ok(!text.includes(bad), bad);
    assert.doesNotMatch(text.replaceAll(/&(amp|lt|gt|quot|#39);/g, ''), /&/);
    assert.doesNotMatch(text, /(src|href|url)\s*[=(]/i, 'nothing to fetch');
  }
});

test('unconfirmed nodes come first, then the slowest; the figures are of those that confirmed', () => {
  assert.deepEqual(
    slowestFirst(timeline).map(({ mac }) => mac.at(-1)),
    ['3', '2', '4', '1'],
  );
  const { kept, verdict, facts: list } = killReport(facts);
  assert.equal(kept, false);
  assert.equal(verdict, '1 of 4 nodes have not confirmed; 0 confirmed later than 5.00 s.');
  assert.deepEqual(
    list.find(([label]) => label === 'confirmed after')?.[1],
    'median 143 ms, 99 % within 4.00 s, slowest 4.00 s',
  );
  assert.deepEqual(list.find(([label]) => label === 'evidence')?.[1], '2 receipt, 1 silence, 1 none');
});

test('the promise is kept by all within the bound only', () => {
  const of = (...nodes: KillNode[]) => killReport({ ...facts, order: { ...order, timeline: nodes } });
  assert.equal(of(node(1, {}), node(2, { confirmedAfterMs: 5_000 })).kept, true);
  assert.equal(of(node(1, { confirmedAfterMs: 5_000.1 })).kept, false);
  assert.equal(of().verdict, 'No node had to stop it.');
  assert.equal(
    killReport({ ...facts, audit: null, order: { ...order, scope: '*' } }).title,
    'Kill order 3: everything',
  );
});

test('quantiles are by the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.deepEqual(
    [0, 0.5, 0.99, 1].map((share) => quantile(hundred, share)),
    [1, 50, 99, 100],
  );
  assert.equal(quantile([], 0.5), undefined);
});

test('an escalation is told by its last step', () => {
  assert.equal(escalationText({ escalation: [] }), '-');
  assert.match(escalationText(timeline[2] ?? node(3, {})), /^ssh failed after 8\.00 s \(2 steps\): /);
});
