import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node, NodeState } from '../../protocol/api/nodes.ts';
import { rackAlarm } from './rack-alarm.ts';

function node(state: NodeState, stage: string): Node {
  const nothing = { ip: null, bootId: null, serial: null, facts: null, sample: null, bootDurationMs: null };
  const usual = { name: 'node-1', slot: 1, since: 0, reason: '', firmware: null, lastHeartbeatAt: null } as const;
  return {
    mac: '02:00:00:c2:00:01',
    ...usual,
    ...nothing,
    state,
    stage,
    fenced: false,
    labels: {},
    placement: 'open' as const,
    instances: 0,
    customers: [],
  };
}

for (const [counts, level, words, sentence] of [
  [{}, 'none', '', ''],
  [{ ready: 684 }, 'good', '', ''],
  [{ ready: 682, silent: 1, lost: 1 }, 'watch', '1 silent, 1 lost', ''],
  [{ loading: 684 }, 'watch', '684 booting', ''],
  [{ ready: 1, stuck: 1 }, 'alarm', '1 stuck', '1 OF 2 NODES DO NOT WORK: 1 stuck.'],
  [{ ready: 640, lost: 36, joining: 8 }, 'alarm', '36 lost', '36 OF 684 NODES DO NOT WORK: 36 lost.'],
  [{ lost: 683, seen: 1 }, 'alarm', '683 lost', 'NO NODE IS READY: 683 lost.'],
] as const) {
  test(`a rack of ${JSON.stringify(counts)} is ${level}`, () => {
    const nodes = Object.entries(counts).flatMap(([state, count]) => {
      const isStuck = state === 'stuck';
      const found = (['seen', 'loading', 'joining', 'ready', 'silent', 'lost'] as const).find((each) => each === state);
      return Array.from({ length: count }, () => node(found ?? 'loading', isStuck ? 'refused-kernel' : 'kernel'));
    });
    assert.deepEqual(rackAlarm(nodes), { level, words, sentence });
  });
}
