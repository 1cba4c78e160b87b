import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceState } from '../../../protocol/api/instances.ts';
import { killScope } from './kill-scope.ts';
import { apply, emptyState, noChanges, type Message } from '../rack-state.ts';

const at = 1_700_000_000_000;

/** One container a state; the nodes are two in turn. `replicas`: what acme's one workload wants. */
function rackWith(states: readonly InstanceState[], replicas = states.length) {
  const state = emptyState();
  const messages: Message[] = states.map((each, index) => ({
    kind: 'instance',
    data: {
      id: `web-0000000${index}`,
      customer: 'acme',
      workload: 'web',
      node: `02:00:00:c2:00:0${index % 2}`,
      nodeName: `node-${index % 2}`,
      state: each,
      reason: '',
      ready: each === 'running',
      since: at,
      restarts: 0,
      endpoint: null,
    },
  }));
  const counts = { replicas, running: 0, ready: 0, updated: 0, processes: 64, memoryBytes: 2 ** 26, cpu: 0.5 };
  const run = { user: null, capabilities: [], stopSignal: null, stopGraceMs: 10_000, revision: 1, stopped: false };
  const wish = { ...run, checks: {}, update: {}, placement: {} };
  const workload = { customer: 'acme', name: 'web', image: 'web', command: null, env: [], port: null, createdAt: at };
  messages.push({ kind: 'workload', data: { ...workload, ...counts, ...wish, onSilence: 'stop', problem: '' } });
  for (const message of messages) apply(message, { state, changes: noChanges() });
  return state;
}

for (const [states, replicas, words] of [
  [['running', 'running'], 2, '2 containers on 2 nodes'],
  [['starting', 'fetching'], 2, '2 containers on 2 nodes (2 starting)'],
  [['running', 'exited', 'placed'], 3, '3 containers on 2 nodes (1 running, 1 starting, 1 waiting to start again)'],
  [['running'], 4, '1 container on 1 node, and 3 more not placed yet'],
  [['stopped'], 0, 'No container now'],
  [[], 2, '2 containers, none placed yet'],
] as const) {
  test(`of ${states.join(', ') || 'nothing'} with ${replicas} wanted, a kill stops: ${words}`, () => {
    const state = rackWith(states, replicas);
    assert.equal(killScope(state, 'acme'), words);
    assert.equal(killScope(state, '*'), words);
    assert.equal(killScope(state, 'globex'), 'No container now');
  });
}
