// An order that most kinds of nodes had to do with, and text that would like to be markup.
import type { KillNode, KillTimeline } from '../api/orders.ts';

const at = Date.UTC(2026, 10, 21, 4, 15, 9);

export function node(number: number, facts: Partial<KillNode>): KillNode {
  return {
    mac: `02:00:00:c2:00:0${number}`,
    name: `node-${number}`,
    evidence: 'receipt',
    sentAfterMs: 1.4,
    stoppedAfterMs: 20,
    evidenceAfterMs: 40.26,
    processes: 3,
    escalation: [],
    ...facts,
  };
}

export const hostile = `<script>alert("1")</script> & 'x' \u0000\u001b[31m`;
export const timeline = [
  node(1, {}),
  node(2, { evidence: 'silence', stoppedAfterMs: null, evidenceAfterMs: 4_000, processes: 0 }),
  node(3, {
    evidence: null,
    evidenceAfterMs: null,
    stoppedAfterMs: null,
    escalation: [
      { afterMs: 5_000, by: 'ssh', outcome: 'tried', detail: 'asked' },
      { afterMs: 8_000, by: 'ssh', outcome: 'failed', detail: hostile },
    ],
  }),
  node(4, { name: hostile, evidenceAfterMs: 143 }),
];
export const order: KillTimeline = {
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
  unacknowledged: ['node-3'],
  holding: ['acme'],
  timeline,
};
export const facts = { order, rack: hostile, audit: { sequence: 12, hash: 'ab'.repeat(32) }, at: at + 120_000 };
