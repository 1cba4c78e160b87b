// A receipt may be lost on its way: the permit that still asks for it is answered at once, and not by a storm.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { receiptRepeatMs } from '../../protocol/timing.ts';
import { newKeeper, receipts, step, type KeeperEvent } from './permit-keeper.ts';

const order = { order: 7n, scope: 'acme' };
let sequence = 0n;

function permit(nowMs: number, orders: (typeof order)[]): KeeperEvent {
  const nonce = Buffer.alloc(16);
  const session = Buffer.alloc(16);
  const asked = { session, sequence: ++sequence, nonce, generation: 0n, validityMs: 3_000, customers: [], orders };
  return { type: 'permit', nowMs, permit: asked };
}

test('a receipt is told again to a permit that asks for it a while after the last heartbeat', () => {
  let keeper = newKeeper([], 0);
  const told = (event: KeeperEvent) => {
    const next = step(keeper, event);
    keeper = next.keeper;
    return next.actions.map(({ type }) => type);
  };
  const beat = (nowMs: number) => told({ type: 'sent', nonce: Buffer.alloc(16, 1), nowMs });
  beat(0);
  assert.deepEqual(told(permit(10, [order])), ['stop']);
  assert.deepEqual(told(permit(10 + receiptRepeatMs, [order])), [], 'there is no receipt yet');
  assert.deepEqual(told({ type: 'stopped', orders: [7n], stoppedAfterMs: 90, processes: 1 }), ['beat']);
  beat(100);
  assert.deepEqual(told(permit(101, [order])), [], 'the answer to the heartbeat that has the receipt');
  assert.deepEqual(told(permit(100 + receiptRepeatMs, [order])), ['beat']);
  beat(100 + receiptRepeatMs);
  assert.deepEqual(told(permit(500, [])), []);
  assert.deepEqual(receipts(keeper), []);
});
