// A client sends 200 requests a second to a published workload while it is changed, scaled, changed into one that never becomes
// ready and back, and while a board is drained: no request fails. The real controller, agents and containers in namespaces.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { Event } from '../../protocol/api/events.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import { Node } from '../../protocol/api/nodes.ts';
import { Workload, type WorkloadPatch, type WorkloadSpec } from '../../protocol/api/workloads.ts';
import { Rig } from '../faults/host/rig.ts';
import { endProcess, startTied } from '../qemu/tied-process.ts';
import { until } from '../until.ts';

const perSecond = 200;
const program = fileURLToPath(new URL('client.ts', import.meta.url));
const path = '/v1/workloads/acme/shop';
const spec: WorkloadSpec = {
  image: 'app',
  replicas: 3,
  port: 8080,
  memoryBytes: 32 * 2 ** 20,
  // A process each for the requests that wait while this machine is busy elsewhere.
  processes: 120,
  env: { EDITION: '1' },
  update: { drainMs: 2_000 },
};
const Done = Type.Object({
  requests: Type.Number(),
  failures: Type.Number(),
  worstMs: Type.Number(),
  first: Type.Array(Type.String()),
});

let rig: Rig;
before(async () => {
  rig = await Rig.create({ name: 'gap', nodes: 3, print: () => undefined });
  await rig.controller.api(`PUT ${path}`, spec);
  await through();
});
after(() => rig[Symbol.asyncDispose]());

async function shop(): Promise<Instance[]> {
  return (await rig.instances('acme')).filter(({ workload }) => workload === 'shop');
}

/** All that is wanted is ready, as it was last changed, and nothing else is left. */
async function through(): Promise<void> {
  let last = '';
  await until(
    'the change is through',
    async () => {
      const { replicas, updated, problem } = await rig.controller.get(path, Workload);
      const instances = await shop();
      last = `${problem} ${instances.map(({ id, state, ready, reason }) => `${id} ${state} ${ready} ${reason}`).join(', ')}`;
      return updated === replicas && instances.length === replicas && instances.every(({ ready }) => ready);
    },
    { withinMs: 120_000, everyMs: 100, detail: () => last },
  );
}

const change = (patch: WorkloadPatch) => rig.controller.api(`PATCH ${path}`, patch);

/** Sends requests while `work` is under way, and a moment before and after. */
async function served(work: () => Promise<void>): Promise<Static<typeof Done>> {
  const client: ChildProcess = await startTied(
    rig.network.inside([process.execPath, '--disable-warning=ExperimentalWarning', program, String(perSecond)]),
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const over = new AbortController();
  try {
    const said = client.stdout === null ? Promise.resolve('') : text(client.stdout);
    const telling = (async () => {
      while (!over.signal.aborted) {
        const ready = (await shop()).flatMap((instance) => (instance.ready ? (instance.endpoint ?? []) : []));
        client.stdin?.write(`${JSON.stringify(ready)}\n`);
        await delay(200);
      }
    })();
    await delay(1_000);
    await work();
    await delay(1_000);
    over.abort();
    await telling;
    client.stdin?.end();
    const done: unknown = JSON.parse(await said);
    assert.ok(Check(Done, done));
    return done;
  } finally {
    over.abort();
    await endProcess(client, 'SIGKILL');
  }
}

const cases: [what: string, work: () => Promise<void>][] = [
  [
    'through a change',
    async () => {
      await change({ env: { EDITION: '2' } });
      await through();
    },
  ],
  [
    'through a scale up and down',
    async () => {
      await change({ replicas: 5 });
      await through();
      await change({ replicas: 2 });
      await through();
    },
  ],
  [
    'through a change that never becomes ready, and the way back',
    async () => {
      await change({ command: ['/bin/sleep', '1000'], update: { deadlineMs: 5_000 } });
      let problem = '';
      await until(
        'the change is halted',
        async () => {
          ({ problem } = await rig.controller.get(path, Workload));
          return problem.startsWith('the change is halted, 2 go on as before');
        },
        { withinMs: 60_000, everyMs: 100, detail: () => problem },
      );
      assert.match(problem, /is not ready: a connection to port 8080: nothing listens there$/);
      await change({ command: null });
      await through();
    },
  ],
  [
    'through the drain of a board',
    async () => {
      const [instance] = await shop();
      assert.ok(instance);
      const at = `/v1/nodes/${instance.node}`;
      await rig.controller.api(`PATCH ${at}`, { placement: 'draining' });
      await until('the board is empty', async () => (await rig.controller.get(at, Node)).instances === 0, {
        withinMs: 120_000,
        everyMs: 100,
      });
      await through();
      await rig.controller.api(`PATCH ${at}`, { placement: 'open' });
    },
  ],
];
for (const [what, work] of cases)
  test(`no request fails ${what}`, { timeout: 200_000 }, async (t) => {
    const { requests, failures, worstMs, first } = await served(work);
    t.diagnostic(`${requests} requests, the slowest ${Math.round(worstMs)} ms`);
    assert.deepEqual(first, []);
    assert.equal(failures, 0);
    assert.ok(requests > 2 * perSecond, `${requests} requests`);
  });

test('each change is told once: that it runs as wanted, and why it halted', async () => {
  const answer = Type.Object({ events: Type.Array(Event) });
  const { events } = await rig.controller.get('/v1/events?limit=200&subject=acme/shop', answer);
  const told = events.map(({ message }) => message);
  assert.equal(told.filter((message) => message.startsWith('the change is halted')).length, 1, told.join('\n'));
  assert.equal(told.filter((message) => message === 'runs as wanted: 3 of app').length, 2, told.join('\n'));
  assert.equal(told.filter((message) => message === 'runs as wanted again').length, 1, told.join('\n'));
});
