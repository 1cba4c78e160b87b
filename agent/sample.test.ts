import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { NodeFacts } from '../protocol/api/nodes.ts';
import { Sample } from '../protocol/api/samples.ts';
import { findFacts } from './facts.ts';
import { cpuShares, newSampler, parseCpuTimes, parseMemory } from './sample.ts';

const before =
  'cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 50 0 25 400 25 0 0 0 0 0\ncpu1 50 0 25 400 25 0 0 0 0 0\nintr 1 2\n';
const after =
  'cpu  150 0 100 850 100 0 0 0 0 0\ncpu0 100 0 75 400 25 0 0 0 0 0\ncpu1 50 0 25 450 75 0 0 0 0 0\nintr 1 2\n';

test('shares of the processor, all cores first; waiting for a disk is idle', () => {
  assert.deepEqual(cpuShares(parseCpuTimes(before), parseCpuTimes(after)), [0.5, 1, 0]);
  assert.deepEqual(cpuShares(parseCpuTimes(after), parseCpuTimes(after)), [0, 0, 0]);
});

test('memory in use is what is not available', () => {
  assert.deepEqual(parseMemory('MemTotal:        2048 kB\nMemFree:  5 kB\nMemAvailable:    1024 kB\n'), {
    totalBytes: 2048 * 1024,
    usedBytes: 1024 * 1024,
  });
});

test('a sample of this machine takes its form, and little time', (t) => {
  const sampler = newSampler('lo');
  const startMs = performance.now();
  const sample = sampler.sample(1.5);
  t.diagnostic(`a sample takes ${(performance.now() - startMs).toFixed(2)} ms`);
  assert.ok(Value.Check(Sample, sample));
  assert.equal(sample.permitThreadDelayMs, 1.5);
  assert.ok(sample.memoryTotalBytes > sample.memoryUsedBytes && sample.agentRssBytes > 1e6);
});

test('facts of this machine come from a process of their own', async () => {
  const facts = await findFacts();
  assert.ok(Value.Check(NodeFacts, facts));
  assert.ok(facts.cores > 0 && facts.memoryBytes > 0 && facts.kernel !== '');
});
