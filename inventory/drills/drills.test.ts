import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drillView, lastDrill, measured, newest } from '../../controller/api/drill-views.ts';
import { orderedBy } from './drills.ts';
import { macOf, testImage, testRack, type TestRack } from '../rack.fixture.ts';
import { statusCounts } from '../../controller/api/views.ts';

const hour = 3_600;
const start = (nodes = [macOf(1)], customer = 'canary') => ({
  customer,
  spec: { image: 'worker', replicas: 1 },
  nodes,
});

async function rackWithImage(): Promise<TestRack> {
  const rack = await testRack();
  await rack.inventory.images.save(testImage('worker'));
  await rack.ready(macOf(1));
  return rack;
}

async function finish({ inventory }: TestRack, number: number): Promise<void> {
  const { customer = '' } = inventory.drills.get(number) ?? {};
  await inventory.workloads.remove({ customer, name: 'canary' });
  await inventory.customers.remove(customer);
  await inventory.drills.advance(number, { phase: 'done', outcome: 'passed' });
}

test('a drill begins with its customer and its workload, survives a restart, and only goes forward', async () => {
  await using rack = await rackWithImage();
  const drill = await rack.inventory.drills.begin(start(), 'root');
  assert.ok('number' in drill);
  assert.equal(rack.inventory.customers.get('canary')?.uidBase, drill.uidBase);
  assert.deepEqual(rack.inventory.workloads.get('canary', 'canary')?.nodes, [macOf(1)]);
  await rack.restart();
  const { drills } = rack.inventory;
  assert.equal(drills.current()?.number, drill.number);
  assert.notEqual(drills.current()?.epoch, rack.inventory.epoch);
  await drills.advance(drill.number, { phase: 'killing' });
  await drills.advance(drill.number, { phase: 'deploying', problem: 'late news' });
  assert.equal(drills.current()?.phase, 'killing');
  assert.equal(drills.current()?.problem, '');
  await drills.advance(drill.number, { phase: 'done', outcome: 'failed' });
  await drills.advance(drill.number, { outcome: 'passed' });
  assert.equal(drills.current(), undefined);
  assert.equal(lastDrill(rack.inventory)?.outcome, 'failed');
});

test('a drill is refused in one sentence, and leaves nothing then', async () => {
  await using rack = await rackWithImage();
  const { inventory } = rack;
  const refusals: [make: () => Promise<unknown>, undo: () => Promise<unknown>, wanted: RegExp][] = [
    [() => inventory.images.remove('worker'), () => inventory.images.save(testImage('worker')), /no image worker/],
    [
      () => inventory.orders.kill({ scope: '*', reason: 'fire', by: 'operator', targets: [] }),
      () => inventory.orders.lift({ scope: '*', reason: '' }),
      /order 1 stops everything: lift it first/,
    ],
  ];
  for (const [make, undo, wanted] of refusals) {
    await make();
    const answer = await inventory.drills.begin(start(), 'root');
    assert.ok('refused' in answer);
    assert.match(answer.refused, wanted);
    assert.deepEqual([inventory.customers.all(), inventory.workloads.all(), inventory.drills.all()], [[], [], []]);
    await undo();
  }
  const nobody = await inventory.drills.begin(start([]), 'root');
  assert.ok('refused' in nobody && /no node is ready/.test(nobody.refused));

  await inventory.customers.add({ name: 'acme' });
  await inventory.workloads.put({ customer: 'acme', name: 'web', spec: { image: 'worker', replicas: 0 } });
  const taken = await inventory.drills.begin(start([macOf(1)], 'acme'), 'root');
  assert.ok('refused' in taken && /acme has workloads \(web\)/.test(taken.refused));
  await inventory.customers.add({ name: 'bolt' });
  await inventory.orders.kill({ scope: 'bolt', reason: 'test', by: 'operator', targets: [] });
  const killed = await inventory.drills.begin(start([macOf(1)], 'bolt'), 'root');
  assert.ok('refused' in killed && /stops bolt/.test(killed.refused));
  await inventory.customers.add({ name: 'tiny', memoryBytes: 16 * 2 ** 20 });
  const small = await inventory.drills.begin(start([macOf(1)], 'tiny'), 'root');
  assert.ok('refused' in small && /tiny may use on a node/.test(small.refused));
  assert.equal(inventory.workloads.get('tiny', 'canary'), undefined);

  assert.ok('number' in (await inventory.drills.begin(start(), 'root')));
  const second = await inventory.drills.begin(start([macOf(1)], 'other'), 'root');
  assert.ok('refused' in second && /drill 1 is not over yet/.test(second.refused));
});

test('the last 100 drills are kept, and one canary needs one range of user ids', async () => {
  await using rack = await rackWithImage();
  const ranges = new Set<number | undefined>();
  for (let number = 1; number <= 102; number++) {
    const drill = await rack.inventory.drills.begin(start(), 'root');
    assert.ok('number' in drill);
    ranges.add(rack.inventory.customers.get('canary')?.uidBase);
    await finish(rack, drill.number);
  }
  const drills = newest(rack.inventory, Infinity);
  assert.equal(drills.length, 100);
  assert.deepEqual([drills[0]?.number, drills.at(-1)?.number], [102, 3]);
  assert.equal(ranges.size, 1);
  await rack.inventory.customers.add({ name: 'acme' });
  assert.ok(!ranges.has(rack.inventory.customers.get('acme')?.uidBase));
});

test('a schedule: due after its period, missed times count once, a refusal is said', async () => {
  await using rack = await rackWithImage();
  const begun = rack.now();
  await rack.inventory.drills.putSchedule({ everySeconds: hour, request: {} }, 'root');
  assert.equal(rack.inventory.drills.schedule()?.nextAt, begun + hour * 1_000);
  await rack.pass(hour * 3_500);
  await rack.restart();
  const { drills } = rack.inventory;
  await rack.inventory.orders.kill({ scope: '*', reason: 'fire', by: 'operator', targets: [] });
  const refused = await drills.beginScheduled(start());
  assert.ok('refused' in refused);
  assert.equal(drills.schedule()?.nextAt, begun + 4 * hour * 1_000);
  await rack.inventory.orders.lift({ scope: '*', reason: '' });
  const drill = await drills.beginScheduled(start());
  assert.ok('number' in drill);
  assert.equal(drill.by, 'schedule');
  assert.equal(drills.schedule()?.nextAt, begun + 5 * hour * 1_000);
  const said = (await rack.inventory.events.list({ limit: 100, subject: 'schedule' })).map(({ message }) => message);
  assert.ok(said.includes('skipped: order 1 stops everything: lift it first'), said.join('; '));
  assert.deepEqual(await drills.removeSchedule('root'), { removed: true });
  assert.ok('refused' in (await drills.removeSchedule('root')));
});

test('the order of a drill counts for no emergency; its figures are of the nodes that ran the canary', async () => {
  await using rack = await rackWithImage();
  const { inventory } = rack;
  await rack.ready(macOf(2));
  const drill = await inventory.drills.begin(start(), 'root');
  assert.ok('number' in drill);
  await inventory.drills.advance(drill.number, { phase: 'killing' });
  const order = await inventory.orders.kill({
    scope: 'canary',
    reason: 'drill 1',
    by: orderedBy(drill.number),
    targets: [macOf(1), macOf(2)],
  });
  assert.ok('number' in order);
  assert.equal(statusCounts(inventory).standingOrders, 0);
  const receipt = { evidence: 'receipt', stoppedAfterMs: 5, processes: 2 } as const;
  await inventory.orders.saveReceipt({
    number: order.number,
    mac: macOf(2),
    receipt: { ...receipt, evidenceAfterMs: 9_000 },
  });
  const none = { nodes: 1, stopped: 0, medianMs: null, slowestMs: null, unacknowledged: ['node-c20001'] };
  const before = drillView(inventory, drill.number);
  assert.deepEqual({ ...before, ...none, order: order.number }, before);
  await inventory.orders.saveReceipt({
    number: order.number,
    mac: macOf(1),
    receipt: { ...receipt, evidenceAfterMs: 80 },
  });
  const all = { nodes: 1, stopped: 1, medianMs: 80, slowestMs: 80, unacknowledged: [] };
  const after = drillView(inventory, drill.number);
  assert.deepEqual({ ...after, ...all }, after);
});

for (const [times, medianMs, slowestMs] of [
  [[], null, null],
  [[3], 3, 3],
  [[9, 1], 5, 9],
  [[9, 1, 2], 2, 9],
] as const) {
  test(`of ${times.length} receipts the median is ${medianMs}, the slowest ${slowestMs}`, () => {
    const receipts = times.map((evidenceAfterMs, at) => ({
      number: 1,
      mac: macOf(at),
      evidence: 'receipt' as const,
      evidenceAfterMs,
      stoppedAfterMs: 0,
      processes: 1,
    }));
    const nodes = [...receipts.map(({ mac }) => mac), macOf(99)];
    const wanted = { nodes: nodes.length, stopped: times.length, medianMs, slowestMs, unacknowledged: [macOf(99)] };
    assert.deepEqual(measured({ nodes, receipts, nameOf: (mac) => mac }), wanted);
  });
}
