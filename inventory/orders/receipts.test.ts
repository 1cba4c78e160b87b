// What is known of each node and order beside the order itself: when its permit left, what was tried, what it said.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EscalationStep } from '../../protocol/api/orders.ts';
import { macOf, testRack } from '../rack.fixture.ts';
import { orderTimeline } from '../../controller/api/views.ts';

const [near, far, stranger] = [macOf(1), macOf(2), macOf(3)];
const gone = { evidenceAfterMs: 40, stoppedAfterMs: 12, processes: 3 };

function step(afterMs: number, outcome: EscalationStep['outcome']): EscalationStep {
  return { afterMs, by: 'ssh', outcome, detail: 'emptied the control group' };
}

test('the first permit that left counts; a receipt keeps it through a restart, and what was never sent is null', async () => {
  await using rack = await testRack();
  await rack.inventory.orders.kill({ scope: '*', reason: 'r', by: 'op', targets: [near, far] });
  rack.inventory.orders.permitSent({ number: 1, mac: near, afterMs: 2 });
  rack.inventory.orders.permitSent({ number: 1, mac: near, afterMs: 102 });
  rack.inventory.orders.permitSent({ number: 1, mac: far, afterMs: 3 });
  const sent = () => [near, far, stranger].map((mac) => rack.inventory.orders.sentAfterMs(1, mac));
  assert.deepEqual(sent(), [2, 3, null]);
  await rack.inventory.orders.saveReceipt({ number: 1, mac: near, receipt: { evidence: 'receipt', ...gone } });
  assert.equal(rack.inventory.orders.receipts(1)[0]?.sentAfterMs, 2);
  assert.deepEqual(sent(), [2, 3, null]);
  await rack.inventory.orders.lift({ scope: '*', reason: '', by: 'ada' });
  assert.deepEqual(sent(), [2, 3, null], 'a lifted order still shows when each node was told');
  assert.equal(rack.inventory.orders.get(1)?.liftedBy, 'ada');
  await rack.restart();
  assert.deepEqual(sent(), [2, null, null]);
});

test('steps of an escalation are kept in order, bounded, and only where the order named the node', async () => {
  await using rack = await testRack();
  await rack.inventory.orders.kill({ scope: '*', reason: 'r', by: 'op', targets: [near] });
  await rack.inventory.orders.addEscalationStep({ number: 1, mac: stranger, step: step(1, 'tried') });
  await rack.inventory.orders.addEscalationStep({ number: 2, mac: near, step: step(1, 'tried') });
  const told: unknown[] = [];
  rack.inventory.subscribe((change) => told.push(change));
  for (let i = 1; i <= 45; i++)
    await rack.inventory.orders.addEscalationStep({ number: 1, mac: near, step: step(i, 'failed') });
  assert.deepEqual(
    told.filter((change) => JSON.stringify(change) === '{"kind":"order","number":1}').length,
    45,
    'readers of the order are told',
  );
  await rack.restart();
  assert.deepEqual(rack.inventory.orders.escalationSteps(1, stranger), []);
  const kept = rack.inventory.orders.escalationSteps(1, near).map(({ afterMs }) => afterMs);
  assert.deepEqual([kept.length, kept[0], kept.at(-2), kept.at(-1)], [40, 1, 39, 45]);
  await rack.inventory.orders.saveReceipt({ number: 1, mac: near, receipt: { evidence: 'ssh', ...gone } });
  const [row] = orderTimeline(rack.inventory, 1)?.timeline ?? [];
  assert.deepEqual([row?.evidence, row?.sentAfterMs, row?.escalation.length], ['ssh', null, 40]);
});

test('past the limit the last step of each kind stays: pauses between attempts are counted from it', async () => {
  await using rack = await testRack();
  await rack.inventory.orders.kill({ scope: '*', reason: 'r', by: 'op', targets: [near] });
  const last = (by: EscalationStep['by']) =>
    rack.inventory.orders.escalationSteps(1, near).findLast((each) => each.by === by);
  for (let i = 1; i <= 45; i++) {
    await rack.inventory.orders.addEscalationStep({ number: 1, mac: near, step: step(10 * i, 'failed') });
    await rack.inventory.orders.addEscalationStep({
      number: 1,
      mac: near,
      step: { ...step(10 * i + 1, 'tried'), by: 'power' },
    });
    await rack.inventory.orders.addEscalationStep({
      number: 1,
      mac: near,
      step: { ...step(10 * i + 2, 'failed'), by: 'power' },
    });
    assert.deepEqual([last('ssh')?.afterMs, last('power')?.afterMs], [10 * i, 10 * i + 2]);
  }
  assert.equal(rack.inventory.orders.escalationSteps(1, near).length, 40);
});
