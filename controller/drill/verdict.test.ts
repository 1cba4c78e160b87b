import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import { acknowledgeLimitMs, deployLimitMs, deployment, drawNodes, verdict, type CanaryNode } from './verdict.ts';

const soon = { problem: '', elapsedMs: 5_000 };
const limit = { problem: '', elapsedMs: deployLimitMs };
const full = { problem: '1 of 2 replicas have no place: no ready node has 32 MiB free', elapsedMs: 5_000 };

function canary(more: Partial<CanaryNode> = {}): CanaryNode {
  return { mac: 'm', name: 'n', state: 'ready', fenced: false, instance: { state: 'running', reason: '' }, ...more };
}
const running = canary({ mac: 'r', name: 'good' });
const unplaced = { instance: undefined };

const deployments: [what: string, node: Partial<CanaryNode>, when: typeof soon, wanted: 'wait' | 'runs' | RegExp][] = [
  ['running', {}, soon, 'runs'],
  ['not placed yet', unplaced, soon, 'wait'],
  ['not placed in time', unplaced, limit, /^n: the canary was not placed in time$/],
  ['has no place', unplaced, full, /^n: .*no ready node has 32 MiB free$/],
  ['has no place by an old complaint', unplaced, { ...full, elapsedMs: 100 }, 'wait'],
  ['fetching', { instance: { state: 'fetching', reason: '' } }, soon, 'wait'],
  ['fetching too long', { instance: { state: 'fetching', reason: '' } }, limit, /still fetching after 120 s/],
  ['exited, to be started again', { instance: { state: 'exited', reason: '' } }, soon, 'wait'],
  ['failed', { instance: { state: 'failed', reason: 'no disk' } }, soon, /^n: no disk$/],
  ['silent, maybe back soon', { state: 'silent' }, soon, 'wait'],
  ['silent too long', { state: 'silent' }, limit, /^n: it is silent$/],
  ['lost', { state: 'lost' }, soon, /^n: it is lost$/],
  ['boots', { state: 'loading' }, soon, /^n: it is loading$/],
  ['fenced', { fenced: true }, soon, /^n: it is fenced$/],
  ['removed', { state: undefined, instance: undefined }, soon, /^n: it was removed$/],
];
for (const [what, node, when, wanted] of deployments) {
  test(`deploying: a node that is ${what}`, () => {
    const step = deployment([running, canary(node)], when);
    if (wanted === 'wait') return assert.equal(step, 'wait');
    assert.notEqual(step, 'wait');
    if (step === 'wait') return undefined;
    if (wanted === 'runs') return assert.deepEqual(step, { ran: ['r', 'm'], leftOut: [] });
    assert.deepEqual(step.ran, ['r']);
    assert.equal(step.leftOut.length, 1);
    return assert.match(step.leftOut[0] ?? '', wanted);
  });
}

test('deploying: of very many that are left out, some are named', () => {
  const lost = Array.from({ length: 684 }, (_, at) => canary({ name: `n${at}`, state: 'lost' }));
  const step = deployment(lost, soon);
  assert.ok(step !== 'wait');
  assert.equal(step.leftOut.length, 101);
  assert.equal(step.leftOut.at(-1), 'and 584 more');
});

const order: OrderDocument = {
  number: 7,
  scope: 'canary',
  reason: 'drill 1',
  by: 'drill 1',
  at: 0,
  liftedAt: null,
  liftReason: null,
  targets: [],
};
const all = { nodes: 2, stopped: 2, medianMs: 90, slowestMs: 120, unacknowledged: [] };
const one = { nodes: 2, stopped: 1, medianMs: 90, slowestMs: 90, unacknowledged: ['n'] };
const now = { order, elapsedMs: 500, restarted: false };
const over = { ...now, elapsedMs: acknowledgeLimitMs };

const verdicts: [what: string, answer: ReturnType<typeof verdict>, wanted: 'wait' | [string, RegExp]][] = [
  ['all in time', verdict(all, now), ['passed', /^$/]],
  ['all, at the bound', verdict({ ...all, slowestMs: 5_000 }, over), ['passed', /^$/]],
  ['all, one late', verdict({ ...all, slowestMs: 5_001 }, now), ['late', /^the slowest node took 5\.0 s; the bound/]],
  ['one missing yet', verdict(one, now), 'wait'],
  ['one missing', verdict(one, over), ['late', /^1 of 2 nodes did not acknowledge within 10 s; the bound is 5 s$/]],
  ['one missing, one late', verdict({ ...one, slowestMs: 6_000 }, over), ['late', /6\.0 s, and 1 of 2 nodes did not/]],
  ['all in time over a restart', verdict(all, { ...now, restarted: true }), ['passed', /^$/]],
  ['one missing over a restart', verdict(one, { ...over, restarted: true }), ['failed', /restarted/]],
  ['lifted by somebody', verdict(one, { ...now, order: { ...order, liftedAt: 1 } }), ['failed', /7 was lifted/]],
  ['all, lifted then', verdict(all, { ...now, order: { ...order, liftedAt: 1 } }), ['passed', /^$/]],
  ['no order', verdict(all, { ...now, order: undefined }), ['failed', /not kept/]],
];
for (const [what, answer, wanted] of verdicts) {
  test(`killing: ${what}`, () => {
    if (wanted === 'wait') return assert.equal(answer, 'wait');
    assert.ok(answer !== 'wait');
    assert.equal(answer.outcome, wanted[0]);
    return assert.match(answer.problem, wanted[1]);
  });
}

for (const [share, of, wanted] of [
  [1, 0, 0],
  [1, 3, 3],
  [0.001, 684, 1],
  [0.1, 684, 69],
  [0.5, 3, 2],
] as const) {
  test(`a share of ${share} of ${of} nodes is ${wanted} of them, none twice`, () => {
    const ready = Array.from({ length: of }, (_, at) => `m${at}`);
    const drawn = drawNodes(ready, { share, random: randomBytes });
    assert.equal(new Set(drawn).size, wanted);
    assert.equal(drawn.length, wanted);
    assert.ok(drawn.every((mac) => ready.includes(mac)));
  });
}

test('every node is drawn equally often', () => {
  const ready = ['a', 'b', 'c', 'd'];
  const counts = new Map<string, number>();
  let state = 1;
  // Repeatable draws: this test has no bad luck.
  const random = (bytes: number) => {
    const drawn = Buffer.alloc(bytes);
    for (let at = 0; at < bytes; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      drawn[at] = state >>> 24;
    }
    return drawn;
  };
  for (let draws = 0; draws < 4_000; draws++)
    for (const mac of drawNodes(ready, { share: 0.5, random })) counts.set(mac, (counts.get(mac) ?? 0) + 1);
  for (const mac of ready) assert.ok(Math.abs((counts.get(mac) ?? 0) - 2_000) < 150, `${mac}: ${counts.get(mac)}`);
});
