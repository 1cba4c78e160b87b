import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Desired } from '../protocol/api.ts';
import { desiredState } from './desired-state.ts';

test('what an earlier session was answered is not applied in a new one', async () => {
  const answers: ((generation: number) => void)[] = [];
  const applied: number[] = [];
  using state = desiredState({
    client: {
      call: ({ signal }) =>
        new Promise((resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new Error('aborted')));
          answers.push((generation) => {
            const desired: Desired = { generation, customers: [], instances: [] };
            resolve({ status: 200, body: Buffer.from(JSON.stringify(desired)) });
          });
        }),
    },
    mac: '02:00:00:c2:00:01',
    session: () => ({ id: '0'.repeat(32), key: Buffer.alloc(32) }),
    apply: ({ generation }) => void applied.push(generation),
    notice: () => undefined,
    random: () => 0,
    wait: () => Promise.resolve(),
  });
  const settled = () => new Promise(setImmediate);
  state.want(500n);
  // The state of another store, whose generations are lower.
  state.forget();
  state.want(7n);
  answers[0]?.(500);
  await settled();
  answers[1]?.(7);
  await settled();
  assert.deepEqual(applied, [7]);
  assert.equal(state.applied(), 7);
  state.want(8n);
  answers[2]?.(8);
  await settled();
  assert.deepEqual(applied, [7, 8]);
});
