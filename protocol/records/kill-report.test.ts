import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KillNode } from '../api/orders.ts';
import { facts, node, order, timeline } from './kill-report.fixture.ts';
import { escalationText, killReport, quantile, slowestFirst } from './kill-report.ts';

test('unacknowledged nodes come first, then the slowest; the figures are of those with evidence', () => {
  assert.deepEqual(
    slowestFirst(timeline).map(({ mac }) => mac.at(-1)),
    ['3', '2', '4', '1'],
  );
  const { kept, verdict, facts: list } = killReport(facts);
  assert.equal(kept, false);
  assert.equal(verdict, '1 of 4 nodes have not acknowledged; 0 were later than 5.00 s.');
  assert.deepEqual(
    list.find(([label]) => label === 'evidence after')?.[1],
    'median 143 ms, 99 % within 4.00 s, slowest 4.00 s',
  );
  assert.deepEqual(list.find(([label]) => label === 'evidence')?.[1], '2 receipt, 1 silence, 1 none');
});

test('the promise is kept by all within the bound only', () => {
  const of = (...nodes: KillNode[]) => killReport({ ...facts, order: { ...order, timeline: nodes } });
  assert.equal(of(node(1, {}), node(2, { evidenceAfterMs: 5_000 })).kept, true);
  assert.equal(of(node(1, { evidenceAfterMs: 5_000.1 })).kept, false);
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
