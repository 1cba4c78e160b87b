import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KillNode, KillTimeline } from '../../../protocol/api/orders.ts';
import { summaryWords, timelineView } from './order-timeline.ts';

const at = 1_700_000_000_000;
const node = (name: string, more: Partial<KillNode> = {}): KillNode => ({
  mac: `02:00:00:c2:00:${name}`,
  name,
  evidence: 'receipt',
  sentAfterMs: 2,
  stoppedAfterMs: 5,
  evidenceAfterMs: 90,
  processes: 3,
  escalation: [],
  ...more,
});
const silent = { evidence: null, stoppedAfterMs: null, evidenceAfterMs: null, processes: 0 } as const;

function order(timeline: KillNode[], more: Partial<KillTimeline> = {}): KillTimeline {
  const stopped = timeline.filter(({ evidence }) => evidence !== null).length;
  const usual = { number: 1, scope: 'acme', reason: '', by: 'anna', at, liftedAt: null, liftedBy: null };
  const counts = { nodes: timeline.length, stopped, slowestMs: null, unacknowledged: [], holding: [], stored: true };
  return { ...usual, ...counts, timeline, ...more };
}

test('nodes without evidence are on top, then the slowest; bars are shares of a round scale', () => {
  const view = timelineView(
    order([node('a'), node('b', { evidenceAfterMs: 160 }), node('d', silent), node('c', silent)]),
    at + 100,
  );
  assert.deepEqual(
    view.rows.map(({ name }) => name),
    ['c', 'd', 'b', 'a'],
  );
  assert.equal(view.scaleMs, 200);
  assert.equal(view.bound, undefined);
  assert.deepEqual(
    view.rows.map(({ sent, end, figure }) => [sent, end, figure]),
    [
      [0.01, 0.5, 'not acknowledged'],
      [0.01, 0.5, 'not acknowledged'],
      [0.01, 0.8, '160 ms'],
      [0.01, 0.45, '90 ms'],
    ],
  );
});

test('a node that is missing for hours leaves the others their bars, and the bound its place', () => {
  const view = timelineView(order([node('a', silent), node('b', { evidenceAfterMs: 4_100 })]), at + 3_600_000);
  assert.deepEqual([view.scaleMs, view.bound], [10_000, 0.5]);
  assert.deepEqual([view.rows[0]?.end, view.rows[0]?.late, view.rows[1]?.late], [1, true, false]);
});

for (const [slowest, ticks] of [
  [90, '0@0 100 ms@1'],
  [4_100, '0@0 bound 5 s@1'],
  [9_000, '0@0 bound 5 s@0.5 10.0 s@1'],
  [45_000, 'bound 5 s@0.1 50.0 s@1'],
] as const) {
  test(`the axis of an order whose slowest took ${slowest} ms says ${ticks}, each in a place of its own`, () => {
    const view = timelineView(order([node('a', { evidenceAfterMs: slowest })]), at);
    assert.equal(view.ticks.map(({ words, at: place }) => `${words}@${place}`).join(' '), ticks);
  });
}

test('a clock that is behind, and an order for no node, draw nothing odd', () => {
  assert.deepEqual(timelineView(order([node('a', silent)]), at - 5_000).rows[0]?.end, 0);
  assert.deepEqual(timelineView(order([]), at).rows, []);
  assert.equal(summaryWords(order([])), 'No node was running it.');
});

test('evidence, processes and escalation are told in words', () => {
  const escalation = [
    { afterMs: 1_204, by: 'ssh', outcome: 'failed', detail: 'no answer on port 22' },
    { afterMs: 2_500, by: 'power', outcome: 'stopped', detail: '' },
  ] as const;
  const { rows } = timelineView(
    order([
      node('a', { processes: 1 }),
      node('b', { evidence: 'silence', sentAfterMs: null, stoppedAfterMs: null, evidenceAfterMs: 4_000 }),
      node('c', { evidence: 'power', stoppedAfterMs: null, evidenceAfterMs: 2_700, escalation: [...escalation] }),
      node('d', silent),
    ]),
    at + 6_000,
  );
  const of = (name: string) => rows.find((row) => row.name === name);
  assert.equal(
    of('a')?.words,
    'permit sent after 2 ms · stopped within 5 ms of it, 1 process · acknowledged after 90 ms: the node says so itself, signed',
  );
  assert.match(
    of('b')?.words ?? '',
    /^no permit could be sent · counted as stopped after 4.00 s: not heard for so long/,
  );
  assert.deepEqual(of('c')?.escalation, [
    'after 1.20 s, by SSH: failed (no answer on port 22)',
    'after 2.50 s, by its power: stopped it',
  ]);
  assert.match(of('d')?.words ?? '', /nothing proves yet that it has stopped$/);
});

test('the summary has the median and the slowest of those that stopped', () => {
  const timeline = [
    node('a'),
    node('b', { evidenceAfterMs: 1_500 }),
    node('c', { evidenceAfterMs: 100 }),
    node('d', silent),
  ];
  assert.equal(summaryWords(order(timeline)), '3/4 nodes stopped, half of them within 100 ms, the slowest 1.50 s');
});
