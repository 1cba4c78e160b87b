import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Desired } from '../../protocol/api/agent.ts';
import { desiredState, readDesired } from './desired-state.ts';

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
    log: () => undefined,
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

test('an entry that cannot be read spoils no other, and is reported', () => {
  const instance = {
    id: 'web-00000001',
    customer: 'acme',
    workload: 'web',
    squashfs: { sha256: 'a'.repeat(64), sizeBytes: 1 },
    configuration: 'b'.repeat(64),
    uid: 0,
    gid: 0,
    memoryBytes: 1,
    cpu: 1,
    processes: 1,
    port: null,
  };
  const customer = { name: 'acme', uidBase: 65_536, memoryBytes: 1, processes: 1, onSilence: 'stop' };
  const answer = {
    generation: 3,
    customers: [customer, { name: 'Not A Customer' }],
    instances: [instance, { ...instance, id: 'web-00000002', cpu: 'all' }, null, { id: '../../etc' }],
  };
  assert.deepEqual(readDesired(answer), {
    desired: { generation: 3, customers: [customer], instances: [instance] },
    misfits: [
      { id: 'web-00000002', state: 'failed', reason: 'this agent cannot read it: cpu must be number', restarts: 0 },
    ],
  });
  assert.equal(readDesired({ ...answer, instances: {} }), undefined);
  assert.equal(readDesired(null), undefined);
});
