import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { setImmediate as immediate, setTimeout as wait } from 'node:timers/promises';
import type { Desired, InstanceReport } from '../../protocol/api/agent.ts';
import type { RuntimeLogLine } from '../containers/runtime.ts';
import { controllerClient } from './controller-client.ts';
import { until } from '../../test/until.ts';
import { controllerPeer } from './controller-peer.fixture.ts';
import { desiredState } from './desired-state.ts';
import { startReporter } from './report.ts';
import { newSampler } from '../sample.ts';

const mac = '02:00:00:00:00:01';

async function connected(t: TestContext) {
  const peer = await controllerPeer();
  const client = controllerClient({ api: peer.api, fingerprint: peer.fingerprint });
  const session = { id: randomBytes(16).toString('hex'), key: randomBytes(32) };
  peer.keys.set(session.id, session.key);
  t.after(async () => {
    client[Symbol.dispose]();
    await peer[Symbol.asyncDispose]();
  });
  return { peer, client, mac, session: () => session, log: (text: string) => t.diagnostic(text), random: () => 0 };
}

/** What a runtime has to tell, in plain arrays. */
function telling() {
  const lines: RuntimeLogLine[] = [];
  const instances: InstanceReport[] = [];
  let listener = (): void => {};
  return {
    lines,
    instances,
    changed: () => listener(),
    runtime: {
      reports: () => instances,
      takeLogs: (limit: number) => lines.splice(0, limit),
      onChange: (told: () => void) => void (listener = told),
    },
  };
}

function line(text: string): RuntimeLogLine {
  return { at: performance.now(), instance: 'web-00000001', stream: 'stdout', text };
}

async function reporting(t: TestContext) {
  const { peer, ...rest } = await connected(t);
  const { runtime, ...told } = telling();
  const sampler = newSampler('lo');
  const reporter = startReporter({ ...rest, runtime, appliedGeneration: () => 3, sample: () => sampler.sample(0) });
  t.after(() => reporter[Symbol.dispose]());
  await until('the first report', () => peer.reports.length === 1);
  return { peer, ...told };
}

test('changes are gathered and reported soon, a sample and logs by themselves', async (t) => {
  const { peer, instances, lines, changed } = await reporting(t);
  assert.ok(peer.reports[0]?.sample);
  instances.push({ id: 'web-00000001', state: 'running', reason: '', restarts: 0 });
  const changedMs = performance.now();
  for (let each = 0; each < 50; each += 1) changed();
  await until('the change', () => peer.reports.length > 1);
  assert.ok(performance.now() - changedMs < 1_000);
  assert.deepEqual([peer.reports[1]?.instances, peer.reports[1]?.generation, peer.reports.length], [instances, 3, 2]);
  lines.push(line('hello'));
  await until('the line', () => peer.reports.some(({ logs }) => logs[0]?.text === 'hello'));
});

test('a flood of lines goes in reports of bounded size, in order, none lost', async (t) => {
  const { peer, lines } = await reporting(t);
  const count = 2_000;
  for (let each = 0; each < count; each += 1) lines.push(line(`${each} ${'x'.repeat(1_000)}`));
  const delivered = () => peer.reports.flatMap(({ logs }) => logs);
  await until('all lines', () => delivered().length === count);
  assert.deepEqual(
    delivered().map(({ text }) => Number.parseInt(text, 10)),
    Array.from({ length: count }, (_, each) => each),
  );
  for (const report of peer.reports) assert.ok(JSON.stringify(report).length < 256 * 1024);
});

test('while the controller refuses, one batch is kept and no more is taken', async (t) => {
  const { peer, lines } = await reporting(t);
  const path = `/v1/nodes/${mac}/report`;
  peer.failures.set(path, 503);
  for (let each = 0; each < 1_000; each += 1) lines.push(line(String(each)));
  await until('a batch is taken', () => lines.length === 500);
  peer.failures.delete(path);
  await until('all lines', () => peer.reports.flatMap(({ logs }) => logs).length === 1_000);
});

test('the desired state is fetched once for a generation, and again until it is there', async (t) => {
  const { peer, ...rest } = await connected(t);
  const applied: Desired[] = [];
  using desired = desiredState({
    ...rest,
    wait: (ms, signal) => wait(ms, undefined, { signal }),
    apply: (each) => applied.push(each),
  });
  const path = `/v1/nodes/${mac}/desired`;
  peer.desired = { generation: 4, customers: [], instances: [] };
  desired.want(4n);
  desired.want(3n);
  await until('generation 4', () => desired.applied() === 4);
  peer.failures.set(path, 500);
  desired.want(6n);
  peer.desired = { generation: 5, customers: [], instances: [] };
  peer.failures.delete(path);
  await until('generation 5, on the way', () => desired.applied() === 5);
  peer.desired = { generation: 6, customers: [], instances: [] };
  await until('generation 6', () => desired.applied() === 6);
  assert.deepEqual(
    applied.map(({ generation }) => generation),
    [4, 5, 6],
  );
  desired.forget();
  desired.want(6n);
  await until('again for a new session', () => applied.length === 4);
});

test('an answer that permits have overtaken is asked for again, unless there is no newer one', async () => {
  const answers = [5, 6, 8, 8, 8, 8, 8];
  const applied: number[] = [];
  using desired = desiredState({
    client: {
      call: () => {
        const state = { generation: answers.shift(), customers: [], instances: [] };
        return Promise.resolve({ status: 200, body: Buffer.from(JSON.stringify(state)) });
      },
    },
    mac,
    session: () => ({ id: '', key: Buffer.alloc(32) }),
    apply: ({ generation }) => applied.push(generation),
    log: () => undefined,
    random: () => 0,
    wait: () => immediate(),
  });
  desired.want(6n);
  await until('generation 6', () => desired.applied() === 6);
  desired.want(9n);
  await until('generation 8', () => desired.applied() === 8);
  assert.deepEqual(applied, [6, 8]);
  answers.push(9);
  await until('generation 9', () => desired.applied() === 9);
});
