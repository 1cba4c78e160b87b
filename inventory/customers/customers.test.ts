import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { configurationDigest } from '../../protocol/desired-state.ts';
import type { Inventory } from '../inventory.ts';
import { placeWeb, editDatabase, macOf, testImage, testRack } from '../rack.fixture.ts';
import {
  customerView,
  instanceView,
  orderTimeline,
  orderView,
  statusCounts,
  workloadView,
} from '../../controller/api/views.ts';

const mac = macOf(1);

async function withAcme(inventory: Inventory): Promise<void> {
  await inventory.customers.add({ name: 'acme' });
  await inventory.customers.add({ name: 'bolt', onSilence: 'hold' });
  await inventory.images.save(testImage('web'));
  await inventory.workloads.put({
    customer: 'acme',
    name: 'web',
    spec: { image: 'web', replicas: 2, port: 8080, env: { A: '2', B: 'x=y' } },
  });
  await inventory.workloads.put({ customer: 'bolt', name: 'job', spec: { image: 'web', replicas: 1 } });
}

const place = { kind: 'place', node: mac, port: null, specRevision: 1, attempt: 0, reason: 'wanted' } as const;

test('customers: defaults, user ids that are never given again, clear refusals', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await withAcme(inventory);
  assert.deepEqual(await inventory.customers.add({ name: 'acme' }), { refused: 'customer acme is there already' });
  const view = customerView(inventory, 'acme');
  assert.deepEqual(
    [view?.onSilence, view?.memoryBytes, view?.processes, view?.uidBase, view?.killedBy, view?.workloads],
    ['stop', 768 * 2 ** 20, 512, 16 * 65_536, null, 1],
  );
  assert.deepEqual(await inventory.customers.remove('acme'), { refused: 'acme has web: remove them first' });
  assert.deepEqual(await inventory.customers.remove('nobody'), { refused: 'there is no customer nobody' });
  await inventory.workloads.remove({ customer: 'acme', name: 'web' });
  await inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: [] });
  assert.deepEqual(await inventory.customers.remove('acme'), { refused: 'order 1 stops acme: lift it first' });
  await inventory.orders.lift({ scope: 'acme', reason: '', by: 'op' });
  assert.deepEqual(await inventory.customers.remove('acme'), { removed: 'acme' });
  await rack.restart();
  const again = await rack.inventory.customers.add({ name: 'acme' });
  assert.equal('refused' in again ? 0 : again.uidBase, 18 * 65_536);
});

test('workloads: what must be there is asked for, and the revision grows with what an instance would notice', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await withAcme(inventory);
  const spec = { image: 'web', replicas: 2, port: 8080, env: { A: '2', B: 'x=y' } };
  const revision = async (changed: object) => {
    const answer = await inventory.workloads.put({ customer: 'acme', name: 'web', spec: { ...spec, ...changed } });
    return 'refused' in answer ? answer.refused : answer.workload.specRevision;
  };
  assert.equal(await revision({}), 1);
  assert.equal(await revision({ replicas: 5 }), 1);
  assert.equal(await revision({ memoryBytes: 64 * 2 ** 20 }), 1, 'the default, said aloud');
  assert.equal(await revision({ command: ['/bin/other'] }), 2);
  await inventory.images.save(testImage('web', 'b'));
  assert.equal(inventory.workloads.get('acme', 'web')?.specRevision, 2, 'an import alone changes nothing');
  assert.equal(await revision({ command: ['/bin/other'] }), 3);
  assert.equal(await revision({ image: 'none' }), 'there is no image none: import it first');
  assert.match(String(await revision({ memoryBytes: 2 ** 30 })), /1024 MiB, want at most the 768 MiB/);
  assert.match(String(await revision({ processes: 513 })), /513 processes, want at most the 512/);
  assert.deepEqual(await inventory.workloads.put({ customer: 'nobody', name: 'x', spec }), {
    refused: 'there is no customer nobody',
  });
  assert.deepEqual(await inventory.images.remove('web'), {
    refused: 'image web is used by acme/web, bolt/job: deploy another image there, or remove the workload, first',
  });
  assert.deepEqual(await inventory.workloads.remove({ customer: 'acme', name: 'nothing' }), {
    refused: 'there is no workload acme/nothing',
  });
});

const configuration = {
  args: ['/bin/app', 'serve'],
  env: ['PATH=/bin', 'A=2', 'B=x=y'],
  workingDir: '/',
  user: '101:102',
  checks: { ready: { tcp: { port: 8080 }, intervalMs: 2_000, timeoutMs: 1_000, failures: 3, successes: 1 } },
};

test('a node is told what is placed on it, by generations that only grow, also over a restart', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await rack.ready(mac);
  await withAcme(inventory);
  const generations = [inventory.nodes.generation(mac)];
  const grows = (what: string, wanted: boolean) => {
    const now = rack.inventory.nodes.generation(mac);
    const last = generations.at(-1) ?? 0n;
    assert.ok(wanted ? now > last : now === last, `${what}: ${last} → ${now}`);
    generations.push(now);
  };
  assert.deepEqual(inventory.nodes.permitted(mac), []);
  const web = { ...place, id: 'web-00000001', customer: 'acme', workload: 'web', port: 20_001 };
  assert.deepEqual(await inventory.instances.apply([web]), { applied: 1 });
  grows('placed', true);
  assert.deepEqual(inventory.workloads.configuration(configurationDigest(configuration)), configuration);
  assert.deepEqual(inventory.nodes.desired(mac), {
    generation: Number(generations.at(-1)),
    customers: [{ name: 'acme', uidBase: 1_048_576, memoryBytes: 768 * 2 ** 20, processes: 512, onSilence: 'stop' }],
    instances: [
      {
        id: 'web-00000001',
        customer: 'acme',
        workload: 'web',
        squashfs: testImage('web').squashfs,
        configuration: configurationDigest(configuration),
        memoryBytes: 64 * 2 ** 20,
        cpu: 1,
        processes: 128,
        port: { container: 8080, node: 20_001 },
      },
    ],
  });
  assert.deepEqual(await inventory.instances.apply([web]), { applied: 0 }, 'twice is as good as once');
  grows('placed again', false);
  await inventory.instances.report(mac, [{ id: 'web-00000001', state: 'running', reason: '', restarts: 0 }]);
  grows('reported', false);
  await inventory.workloads.put({
    customer: 'acme',
    name: 'web',
    spec: { image: 'web', replicas: 1, command: ['/x'] },
  });
  grows('the workload changed, its instance did not', false);
  await inventory.instances.apply([{ ...place, id: 'job-00000002', customer: 'bolt', workload: 'job' }]);
  grows('another customer', true);
  assert.deepEqual(inventory.nodes.permitted(mac), [
    { customer: 'acme', hold: false },
    { customer: 'bolt', hold: true },
  ]);
  await inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: [mac] });
  grows('killed', true);
  assert.deepEqual(
    inventory.nodes.desired(mac).instances.map(({ id }) => id),
    ['job-00000002'],
  );
  await inventory.orders.kill({ scope: '*', reason: 'r', by: 'op', targets: [mac] });
  grows('everything killed', true);
  assert.deepEqual([inventory.nodes.permitted(mac), inventory.nodes.desired(mac).customers], [[], []]);
  await inventory.orders.lift({ scope: '*', reason: '', by: 'op' });
  grows('lifted', true);
  await inventory.nodes.patch(mac, { fenced: true });
  grows('fenced', true);
  assert.deepEqual(inventory.nodes.permitted(mac), []);
  await rack.restart();
  grows('restarted', true);
  await rack.inventory.nodes.patch(mac, { fenced: false });
  grows('let in', true);
  await rack.inventory.workloads.remove({ customer: 'bolt', name: 'job' });
  grows('removed', true);
  assert.deepEqual(rack.inventory.nodes.permitted(mac), []);
  assert.equal(rack.inventory.instances.nextNumber(), 3, 'ids are not used twice');
});

test('placements that no longer fit are left out', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await rack.ready(mac);
  await rack.boot(macOf(2));
  await withAcme(inventory);
  const web = { ...place, id: 'web-00000005', customer: 'acme', workload: 'web', port: 20_005 };
  const refused = [
    { ...web, specRevision: 2 },
    { ...web, node: macOf(2) },
    { ...web, node: macOf(3) },
    { ...web, customer: 'bolt' },
    { ...web, id: 'job-00000005' },
  ];
  for (const each of refused) assert.deepEqual(await inventory.instances.apply([each]), { applied: 0 });
  const two = [web, { ...web, id: 'web-00000006' }, { ...web, id: 'web-00000004', port: 20_004 }];
  assert.deepEqual(await inventory.instances.apply(two), { applied: 1 }, 'port taken, number used');
  await inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: [] });
  assert.deepEqual(await inventory.instances.apply([{ ...web, id: 'web-00000007', port: 1 }]), { applied: 0 });
});

test('reports: only the own instances, only news', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await rack.ready(mac);
  await rack.ready(macOf(2));
  await withAcme(inventory);
  await inventory.instances.apply([{ ...place, id: 'web-00000001', customer: 'acme', workload: 'web', port: 20_001 }]);
  let changes = 0;
  inventory.subscribe(({ kind }) => void (changes += kind === 'instance' ? 1 : 0));
  const report = { id: 'web-00000001', state: 'running', reason: '', restarts: 0 } as const;
  await inventory.instances.report(macOf(2), [report]);
  await inventory.instances.report(mac, [{ ...report, id: 'web-000000ff' }]);
  assert.equal(changes, 0);
  await inventory.instances.report(mac, [report]);
  await inventory.instances.report(mac, [report]);
  assert.equal(changes, 1);
  assert.deepEqual(instanceView(inventory, 'web-00000001'), {
    id: 'web-00000001',
    customer: 'acme',
    workload: 'web',
    node: mac,
    nodeName: 'node-c20001',
    state: 'running',
    reason: '',
    ready: true,
    since: rack.now(),
    restarts: 0,
    endpoint: 'http://10.77.0.50:20001',
  });
  const counts = () => {
    const { running, updated } = workloadView(inventory, { customer: 'acme', name: 'web' }) ?? {};
    return { running, updated };
  };
  assert.deepEqual(counts(), { running: 1, updated: 1 });
  await inventory.workloads.put({
    customer: 'acme',
    name: 'web',
    spec: { image: 'web', replicas: 2, command: ['/bin/other'] },
  });
  assert.deepEqual(counts(), { running: 1, updated: 0 }, 'what runs is of the revision before');
  assert.deepEqual(statusCounts(inventory).nodes, { seen: 0, loading: 0, joining: 0, ready: 2, silent: 0, lost: 0 });
});

test('reports: ready is stored, counted and told; each change of it is one event with its cause', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await rack.ready(mac);
  await withAcme(inventory);
  await inventory.instances.apply([{ ...place, id: 'web-00000001', customer: 'acme', workload: 'web', port: 20_001 }]);
  const report = { id: 'web-00000001', state: 'running', reason: '', restarts: 0 } as const;
  const say = (more: { ready: boolean; reason?: string }) => inventory.instances.report(mac, [{ ...report, ...more }]);
  const reason = 'not ready: a connection to port 8080: nothing listens there';
  await say({ ready: false, reason });
  const counts = () => {
    const { running, ready, updated } = workloadView(inventory, { customer: 'acme', name: 'web' }) ?? {};
    return { running, ready, updated };
  };
  assert.deepEqual(counts(), { running: 1, ready: 0, updated: 0 });
  assert.equal(instanceView(inventory, 'web-00000001')?.ready, false);
  await say({ ready: true });
  assert.deepEqual(counts(), { running: 1, ready: 1, updated: 1 });
  await say({ ready: true });
  await say({ ready: false, reason });
  await inventory.instances.report(mac, [report]);
  assert.deepEqual(counts(), { running: 1, ready: 1, updated: 1 }, 'an agent that says nothing of it');
  const events = await inventory.events.list({ limit: 100, subject: 'web-00000001' });
  assert.deepEqual(
    events.slice(1).map(({ message }) => message),
    [`running: ${reason}`, 'ready', reason, 'ready'],
  );
});

test('what is on a node that is not heard is not ready, whatever it said last; who holds on silence is as before', async () => {
  for (const onSilence of ['stop', 'hold'] as const) {
    await using rack = await testRack();
    const { inventory } = rack;
    await rack.ready(mac);
    await placeWeb(inventory, { customer: 'acme', nodes: [mac], onSilence });
    const [{ id } = { id: '' }] = inventory.instances.all();
    await inventory.instances.report(mac, [{ id, state: 'running', reason: '', ready: true, restarts: 0 }]);
    assert.equal(instanceView(inventory, id)?.ready, true);
    await rack.pass(4_000);
    assert.equal(inventory.nodes.get(mac)?.state, 'silent');
    const { ready, state } = instanceView(inventory, id) ?? {};
    assert.deepEqual([state, ready], ['running', onSilence === 'hold']);
    assert.equal(workloadView(inventory, { customer: 'acme', name: 'web' })?.ready, onSilence === 'hold' ? 1 : 0);
  }
});

test('kill: the order stands until lifted, through restarts; each node acknowledges once', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  const macs = [macOf(1), macOf(2), macOf(3)];
  for (const each of macs) await rack.ready(each);
  await withAcme(inventory);
  assert.deepEqual(await inventory.orders.kill({ scope: 'nobody', reason: 'r', by: 'op', targets: macs }), {
    refused: 'there is no customer nobody',
  });
  assert.deepEqual(await inventory.orders.lift({ scope: 'acme', reason: '', by: 'op' }), {
    refused: 'no order stops acme',
  });
  const order = await inventory.orders.kill({ scope: 'acme', reason: 'crypto miner', by: 'op', targets: macs });
  assert.equal('refused' in order ? 0 : order.number, 1);
  assert.deepEqual(await inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: macs }), {
    refused: 'order 1 stops acme already',
  });
  assert.equal(inventory.orders.killedBy('acme'), 1);
  assert.equal(inventory.orders.killedBy('bolt'), undefined);
  const first = { evidence: 'receipt', evidenceAfterMs: 40, stoppedAfterMs: 12, processes: 3 } as const;
  const later = { evidence: 'receipt', evidenceAfterMs: 90, stoppedAfterMs: 1, processes: 0 } as const;
  const silence = { evidence: 'silence', evidenceAfterMs: 1, stoppedAfterMs: null, processes: 0 } as const;
  await inventory.orders.saveReceipt({ number: 1, mac: macOf(2), receipt: first });
  await inventory.orders.saveReceipt({ number: 1, mac: macOf(2), receipt: later });
  await inventory.orders.saveReceipt({ number: 9, mac: macOf(2), receipt: silence });
  await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'op', targets: macs });
  await rack.restart();
  const after = rack.inventory;
  assert.deepEqual(
    macs.map((each) => after.orders.pending(each).map(({ number }) => number)),
    [[1, 2], [2], [1, 2]],
  );
  assert.match(
    JSON.stringify(await after.orders.lift({ scope: 'bolt', reason: '', by: 'op' })),
    /order 2 stops everything, lift that one/,
  );
  await after.orders.lift({ scope: '*', reason: 'fire is out', by: 'op' });
  assert.deepEqual(
    macs.map((each) => after.orders.pending(each).map(({ number }) => number)),
    [[1], [], [1]],
  );
  assert.deepEqual(
    after.orders.standing().map(({ number }) => number),
    [1],
  );
  const view = orderView(after, 1);
  assert.deepEqual(
    [view?.nodes, view?.stopped, view?.slowestMs, view?.unacknowledged],
    [3, 1, 40, ['node-c20001', 'node-c20003']],
  );
  assert.deepEqual(
    orderTimeline(after, 1)?.timeline.map(({ name, evidence, processes }) => `${name} ${evidence} ${processes}`),
    ['node-c20002 receipt 3', 'node-c20001 null 0', 'node-c20003 null 0'],
  );
  assert.equal(workloadView(after, { customer: 'acme', name: 'web' })?.problem, 'stopped by kill order 1');
  assert.ok(!('refused' in (await after.orders.lift({ scope: 'acme', reason: 'sorry', by: 'op' }))));
  assert.deepEqual(after.orders.pending(mac), []);
  const second = await after.orders.kill({ scope: 'acme', reason: 'again', by: 'op', targets: [] });
  assert.equal('refused' in second ? 0 : second.number, 3);
});

test('of lifted orders the last 50 are kept, with their receipts', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await inventory.customers.add({ name: 'acme' });
  await inventory.customers.add({ name: 'bolt' });
  await inventory.orders.kill({ scope: 'bolt', reason: 'stands', by: 'op', targets: [] });
  for (let i = 0; i < 60; i++) {
    const order = await inventory.orders.kill({ scope: 'acme', reason: 'r', by: 'op', targets: [mac] });
    assert.ok(!('refused' in order));
    const facts = { evidence: 'receipt', evidenceAfterMs: 1, stoppedAfterMs: 1, processes: 1 } as const;
    await inventory.orders.saveReceipt({ number: order.number, mac, receipt: facts });
    await inventory.orders.lift({ scope: 'acme', reason: '', by: 'op' });
  }
  await rack.restart();
  const numbers = rack.inventory.orders.all().map(({ number }) => number);
  assert.deepEqual([numbers.length, numbers[0], numbers.at(-1)], [52, 1, 61]);
  assert.deepEqual([rack.inventory.orders.receipts(5).length, rack.inventory.orders.receipts(61).length], [0, 1]);
});

test('leases: what boot/ saved is loaded, by address', async () => {
  await using rack = await testRack();
  const lease = { ip: '10.77.0.50', mac, state: 'bound' as const, expiresAtMs: 5 };
  await rack.inventory.leases.save([lease, { ...lease, ip: '10.77.0.51' }]);
  await rack.inventory.leases.save([{ ...lease, state: 'released' }]);
  await rack.restart();
  const loaded = await rack.inventory.leases.load();
  assert.deepEqual(
    loaded.toSorted((a, b) => (a.ip < b.ip ? -1 : 1)),
    [
      { ...lease, state: 'released' },
      { ...lease, ip: '10.77.0.51' },
    ],
  );
});

test('workloads: a change says what it changed, is in the audit log by who asked, and can be tried', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await withAcme(inventory);
  const web = { customer: 'acme', name: 'web' };
  const before = inventory.workloads.get('acme', 'web');
  const patch = { replicas: 7, memoryBytes: 2 ** 25, env: { SECRET: 'hush' }, port: null };
  const tried = await inventory.workloads.patch({ ...web, patch }, { by: 'anna', dryRun: true });
  assert.ok('changes' in tried, JSON.stringify(tried));
  const changes = ['replicas 2 → 7', 'port 8080 removed', 'memory 64M → 32M', 'variable SECRET set'];
  assert.deepEqual(tried.changes.toSorted(), changes.toSorted());
  assert.equal(inventory.workloads.get('acme', 'web'), before, 'trying changes nothing');
  const made = await inventory.workloads.patch({ ...web, patch }, { by: 'anna' });
  assert.deepEqual('changes' in made && made.changes, tried.changes);
  const again = await inventory.workloads.patch({ ...web, patch }, { by: 'ben' });
  assert.deepEqual('changes' in again && again.changes, []);
  await inventory.workloads.remove(web, 'carl');
  const entries = (await inventory.audit.entries({ limit: 100 })).filter(({ kind }) => kind === 'workload');
  const told = entries.flatMap(({ subject, body }) => (subject === 'acme/web' ? [body] : [])).slice(-2);
  assert.match(told[0] ?? '', /^\{"step":"changed","by":"anna","revision":\d+,"changes":\[.*variable SECRET set/);
  assert.equal(told[1], '{"step":"removed","by":"carl"}');
  assert.ok(!JSON.stringify(entries).includes('hush'));
});

test('workloads: what was wanted can be wanted again, with the image as it was', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await withAcme(inventory);
  const web = { customer: 'acme', name: 'web' };
  const spec = () => inventory.workloads.get('acme', 'web')?.spec;
  const told = () =>
    inventory.workloads.history('acme', 'web')?.revisions.map(({ revision, by, changes }) => [revision, by, changes]);
  await inventory.workloads.patch({ ...web, patch: { replicas: 9 } }, { by: 'anna' });
  assert.equal(told()?.length, 1, 'another number is no revision');
  await inventory.images.save(testImage('web', 'b'));
  await inventory.workloads.patch({ ...web, patch: { image: 'web', env: { A: '3' } } }, { by: 'anna' });
  await inventory.workloads.patch({ ...web, patch: { stopped: true } }, { by: 'ben' });
  const changes = ['variable A set', 'image web as it was imported last'];
  assert.deepEqual(told()?.slice(1), [[2, 'anna', changes]]);

  const back = await inventory.workloads.rollBack(web, 'carl');
  assert.ok('changes' in back && back.changes[0] === 'back to revision 1', JSON.stringify(back));
  assert.deepEqual(spec(), { image: 'web', replicas: 9, port: 8080, env: { A: '2', B: 'x=y' }, stopped: true });
  assert.equal(back.workload.image.digest, testImage('web').digest);
  assert.equal(back.workload.specRevision, 3);
  assert.deepEqual(await inventory.workloads.restart(web), {
    refused: 'cannot restart acme/web: it is stopped, start it',
  });
  await inventory.workloads.patch({ ...web, patch: { stopped: false } });
  const restarted = await inventory.workloads.restart(web, 'carl');
  assert.ok('changes' in restarted && restarted.workload.specRevision === 4);
  assert.deepEqual(restarted.changes, ['restarted']);
  assert.equal(told()?.length, 3, 'a restart is no revision');
  const again = await inventory.workloads.rollBack(web);
  assert.ok('workload' in again && again.workload.spec.env?.['A'] === '3');
  const same = await inventory.workloads.rollBack({ ...web, to: 5 });
  assert.deepEqual('changes' in same && same.changes, []);
  assert.deepEqual(await inventory.workloads.rollBack({ ...web, to: 77 }), {
    refused: 'cannot roll acme/web back to revision 77: want one that is kept, 1, 2, 3, 5',
  });
  await rack.restart();
  const { workloads } = rack.inventory;
  assert.equal(workloads.history('acme', 'web')?.revisions.length, 4);
  for (let at = 0; at < 20; at += 1) await workloads.patch({ ...web, patch: { env: { A: `x${at}` } } });
  assert.equal(workloads.history('acme', 'web')?.revisions.length, 10);
  // Large ones are fewer, and the one before the present one is always there.
  const large = (letter: string) =>
    Object.fromEntries(Array.from({ length: 7 }, (_, at) => [`L${at}`, letter.repeat(4000)]));
  for (const letter of 'abcdefghijkl') await workloads.patch({ ...web, patch: { env: large(letter) } });
  const kept = workloads.history('acme', 'web')?.revisions ?? [];
  assert.ok(kept.length < 10 && kept.length >= 2 && JSON.stringify(kept).length < 256 * 1024, String(kept.length));
  await workloads.remove(web);
  assert.equal(workloads.history('acme', 'web'), undefined);
});

test('workloads: one that was wanted before there were histories can be wanted again', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await withAcme(inventory);
  const web = { customer: 'acme', name: 'web' };
  assert.deepEqual(await inventory.workloads.rollBack({ customer: 'acme', name: 'none' }), {
    refused: 'there is no workload acme/none',
  });
  assert.deepEqual(await inventory.workloads.rollBack(web), {
    refused: 'cannot roll acme/web back: it was never wanted otherwise, as far as is kept',
  });
  await rack.inventory[Symbol.asyncDispose]();
  await editDatabase(join(rack.directory, 'inventory.sqlite'), "DELETE FROM documents WHERE key LIKE 'histories/%'");
  await rack.restart();
  assert.equal(rack.inventory.workloads.history('acme', 'web'), undefined);
  await rack.inventory.workloads.patch({ ...web, patch: { port: 81 } });
  await rack.inventory.workloads.rollBack(web);
  assert.equal(rack.inventory.workloads.get('acme', 'web')?.spec.port, 8080);
});
