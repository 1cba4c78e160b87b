import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeartbeatGate } from './heartbeat-gate.ts';

const sessionId = 'a'.repeat(32);
const home = { address: '10.77.0.50', port: 40_000 };
const second = 1_000_000n;

function rig() {
  let now = 0;
  const gate = new HeartbeatGate(() => now);
  return {
    gate,
    pass: (ms: number) => (now += ms),
    heard: (sequence: bigint) => ({ ...home, sequence, heardAt: now }),
  };
}

test('what an agent sends passes: heartbeats, receipts, after an hour of silence, and from a new port', () => {
  const { gate, pass, heard } = rig();
  let last = heard(5n * second);
  for (let i = 0; i < 1_000; i++) {
    pass(1_000 / 12);
    const sequence = last.sequence + second / 12n;
    assert.ok(gate.admits({ sessionId, ...home, sequence }, last));
    last = heard(sequence);
  }
  pass(3_600_000);
  assert.ok(gate.admits({ sessionId, ...home, sequence: last.sequence + 3_600n * second }, last));
  assert.ok(gate.admits({ sessionId, ...home, port: 1, sequence: last.sequence + 3_600n * second }, last));
});

test('replays are not looked at; of sequences that no board has reached, few', () => {
  const { gate, heard } = rig();
  const last = heard(5n * second);
  for (const sequence of [0n, 5n * second]) assert.equal(gate.admits({ sessionId, ...home, sequence }, last), false);
  const far = { sessionId, ...home, sequence: 5n * second + 200n * second };
  assert.equal(Array.from({ length: 1_000 }, () => gate.admits(far, last)).filter(Boolean).length, 10);
});

test('a flood from elsewhere with a session that somebody has seen costs few signatures, and the session nothing', () => {
  const { gate, pass, heard } = rig();
  const last = heard(5n * second);
  let looked = 0;
  for (let ms = 0; ms < 1_000; ms++) {
    pass(1);
    for (let i = 0; i < 80; i++) {
      const claimed = { sessionId, address: '10.77.0.66', port: 1_024 + i, sequence: last.sequence + 1n };
      if (gate.admits(claimed, last)) looked++;
    }
  }
  assert.ok(looked <= 20, `${looked} of 80000`);
  assert.ok(gate.admits({ sessionId, ...home, sequence: last.sequence + second }, last));
});

test('a forger who knows where a session is heard costs its board nothing at 5,000 a second, and other boards never', () => {
  const { gate, pass, heard } = rig();
  const last = heard(5n * second);
  for (let ms = 0; ms < 3_000; ms++) {
    pass(1);
    for (let i = 0; i < 5; i++) gate.admits({ sessionId, ...home, sequence: last.sequence + 1n }, last);
    if (ms % 750 === 0) assert.ok(gate.admits({ sessionId, ...home, sequence: last.sequence + 4n * second }, last));
  }
  for (let i = 0; i < 100_000; i++) gate.admits({ sessionId, ...home, sequence: last.sequence + 1n }, last);
  const other = { sessionId: 'b'.repeat(32), address: '10.77.0.51', port: 40_000 };
  const theirs = { ...other, sequence: second, heardAt: 3_000 };
  for (let i = 0; i < 100; i++) {
    const claimed = { ...other, sequence: 2n * second };
    assert.ok(gate.admits(claimed, theirs));
    gate.wasGenuine(claimed);
  }
});

test('a rack that was not heard yet is let in at once', () => {
  const { gate } = rig();
  for (let board = 0; board < 684; board++)
    assert.ok(gate.admits({ sessionId: `${board}`, address: '10.77.0.2', port: board, sequence: 9n }, undefined));
});
