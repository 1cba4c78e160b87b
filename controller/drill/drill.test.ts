import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { Drill, type DrillRequest, Drills } from '../../protocol/api/drills.ts';
import { Status } from '../../protocol/api/status.ts';
import { StorageError } from '../../inventory/store/store.ts';
import { macOf } from '../../inventory/rack.fixture.ts';
import { canaryImage } from './canary.ts';
import { Rig } from './rig.fixture.ts';

const timeout = 120_000;

async function begin(rig: Rig, request: DrillRequest = {}): Promise<number> {
  const { status, body } = await rig.ask('POST /v1/drills', { body: request });
  assert.equal(status, 202, JSON.stringify(body));
  const drill = Value.Parse(Drill, body);
  assert.deepEqual([drill.phase, drill.outcome, drill.by], ['deploying', null, 'root']);
  return drill.number;
}

async function shownDrill(rig: Rig, number: number): Promise<Drill> {
  return Value.Parse(Drill, (await rig.ask(`GET /v1/drills/${number}`)).body);
}

async function finished(rig: Rig, number: number): Promise<Drill> {
  await rig.until(() => rig.inventory.drills.get(number)?.phase === 'done');
  return shownDrill(rig, number);
}

function phaseIs(rig: Rig, phase: Drill['phase']): Promise<void> {
  return rig.until(() => rig.inventory.drills.current()?.phase === phase);
}

/** The order is given: each board has its permit or is about to. */
function killed(rig: Rig): Promise<void> {
  return rig.until(() => (rig.inventory.drills.current()?.order ?? null) !== null);
}

function nothingIsLeft({ inventory }: Rig): void {
  assert.deepEqual([inventory.customers.all(), inventory.workloads.all(), inventory.instances.all()], [[], [], []]);
  assert.deepEqual(inventory.orders.standing(), []);
}

async function eventsOf({ inventory }: Rig, subject: string): Promise<string[]> {
  return (await inventory.events.list({ limit: 100, subject })).map(({ message }) => message);
}

test('a drill runs a canary on each node, kills it as an operator would, and leaves nothing', { timeout }, async () => {
  await using rig = await Rig.open(3);
  await rig.inventory.nodes.patch(macOf(3), { fenced: true });
  const number = await begin(rig);
  await phaseIs(rig, 'killing');
  assert.deepEqual(
    rig.inventory.instances
      .all()
      .map(({ node }) => node)
      .toSorted(),
    [macOf(1), macOf(2)],
  );
  await killed(rig);
  assert.equal(Value.Parse(Status, (await rig.ask('GET /v1/status')).body).standingOrders, 0);
  const drill = await finished(rig, number);
  assert.equal(drill.outcome, 'passed', drill.problem);
  assert.deepEqual([drill.drawn, drill.nodes, drill.stopped, drill.problem], [2, 2, 2, '']);
  assert.ok(drill.medianMs !== null && drill.slowestMs !== null && drill.medianMs <= drill.slowestMs);
  assert.deepEqual([drill.unacknowledged, drill.leftOut], [[], []]);
  nothingIsLeft(rig);
  const order = rig.inventory.orders.get(drill.order ?? 0);
  assert.deepEqual([order?.reason, order?.by, order?.scope], ['drill 1', 'drill 1', 'canary']);
  assert.ok(order?.liftedAt !== null);

  const { lastDrill } = Value.Parse(Status, (await rig.ask('GET /v1/status')).body);
  assert.deepEqual(lastDrill, drill);
  assert.deepEqual(Value.Parse(Drills, (await rig.ask('GET /v1/drills')).body), { drills: [drill], schedule: null });
  const metrics = String((await rig.ask('GET /metrics')).body);
  assert.match(metrics, /^muster_drill_last_ok 1$/m);
  assert.match(metrics, new RegExp(`^muster_drill_last_slowest_seconds ${drill.slowestMs / 1_000}$`, 'm'));
  assert.match(metrics, new RegExp(`^muster_drill_last_timestamp_seconds ${(drill.endedAt ?? 0) / 1_000}$`, 'm'));
  const audited = await rig.inventory.audit.verify();
  assert.deepEqual(audited.problems, []);
  const entries = await rig.inventory.audit.entries({ limit: 100 });
  const [entry, ...more] = entries.filter(({ kind }) => kind === 'drill');
  assert.deepEqual(more, []);
  assert.equal(entry?.subject, String(number));
  assert.match(entry?.body ?? '', /"outcome":"passed".*"slowestMs":\d/);
  const told = await eventsOf(rig, String(number));
  assert.ok(
    told.some((message) => /^passed: 2\/2 stopped, median \d+ ms, slowest \d+ ms$/.test(message)),
    told.join('; '),
  );
});

test('a share of the nodes, and an image and a customer by name', { timeout }, async () => {
  await using rig = await Rig.open(3);
  await rig.inventory.customers.add({ name: 'spare' });
  const number = await begin(rig, { share: 0.3, image: 'web', customer: 'spare' });
  await phaseIs(rig, 'killing');
  assert.equal(rig.inventory.instances.all().length, 1);
  assert.equal(rig.inventory.workloads.get('spare', 'canary')?.image.name, 'web');
  const drill = await finished(rig, number);
  assert.deepEqual([drill.outcome, drill.nodes, drill.stopped], ['passed', 1, 1]);
  // It was there before the drill.
  assert.deepEqual(
    rig.inventory.customers.all().map(({ name }) => name),
    ['spare'],
  );
  assert.deepEqual(rig.inventory.workloads.all(), []);
});

test('a node that acknowledges after the bound makes the drill late', { timeout }, async () => {
  await using rig = await Rig.open(2);
  const [slow] = rig.peers;
  assert.ok(slow);
  slow.acknowledges = false;
  const number = await begin(rig);
  await killed(rig);
  await rig.until(() => rig.inventory.orders.receipts(rig.inventory.drills.current()?.order ?? 0).length === 1);
  rig.leap(6_000);
  slow.acknowledges = true;
  const drill = await finished(rig, number);
  assert.equal(drill.outcome, 'late');
  assert.match(drill.problem, /^the slowest node took 6\.\d s; the bound is 5 s$/);
  assert.deepEqual([drill.stopped, drill.unacknowledged], [2, []]);
  nothingIsLeft(rig);
  assert.match(String((await rig.ask('GET /metrics')).body), /^muster_drill_last_ok 0$/m);
});

test('a node that never acknowledges is named', { timeout }, async () => {
  await using rig = await Rig.open(2);
  const [mute] = rig.peers;
  assert.ok(mute);
  mute.acknowledges = false;
  const number = await begin(rig);
  await killed(rig);
  await rig.until(() => rig.inventory.orders.receipts(rig.inventory.drills.current()?.order ?? 0).length === 1);
  rig.leap(10_000);
  const drill = await finished(rig, number);
  assert.equal(drill.outcome, 'late');
  assert.match(drill.problem, /^1 of 2 nodes did not acknowledge within 10 s/);
  assert.deepEqual(drill.unacknowledged, ['node-c20001']);
  nothingIsLeft(rig);
});

test(
  'a node that cannot start the canary is left out and told; where none can, the drill fails',
  { timeout },
  async () => {
    await using rig = await Rig.open(2);
    const [broken, good] = rig.peers;
    assert.ok(broken && good);
    Object.assign(broken, { state: 'failed', reason: 'no loop device' });
    const first = await finished(rig, await begin(rig));
    assert.equal(first.outcome, 'passed', first.problem);
    assert.deepEqual([first.drawn, first.nodes, first.leftOut], [2, 1, ['node-c20001: no loop device']]);
    Object.assign(good, { state: 'failed', reason: 'no loop device' });
    const second = await finished(rig, await begin(rig));
    assert.equal(second.outcome, 'failed');
    assert.match(second.problem, /^no node ran the canary: node-c2000[12]: no loop device$/);
    assert.equal(second.order, null);
    nothingIsLeft(rig);
  },
);

test('a controller that is restarted goes on with the drill', { timeout }, async () => {
  await using rig = await Rig.open(2);
  for (const peer of rig.peers) peer.state = 'starting';
  const number = await begin(rig);
  await rig.until(() => rig.inventory.instances.all().length === 2);
  await rig.stop();
  await rig.start();
  for (const peer of rig.peers) Object.assign(peer, { state: 'running', acknowledges: false });
  await killed(rig);
  const order = rig.inventory.drills.current()?.order;
  await rig.stop();
  await rig.start();
  assert.equal(rig.inventory.drills.current()?.phase, 'killing');
  for (const peer of rig.peers) peer.acknowledges = true;
  const drill = await finished(rig, number);
  assert.deepEqual([drill.outcome, drill.stopped, drill.order], ['passed', 2, order]);
  nothingIsLeft(rig);
});

test('a restart that hides when a node stopped fails the drill, and cleans up', { timeout }, async () => {
  await using rig = await Rig.open(1);
  for (const peer of rig.peers) peer.acknowledges = false;
  const number = await begin(rig);
  await killed(rig);
  await rig.stop();
  rig.leap(3_600_000);
  await rig.start();
  for (const peer of rig.peers) peer.acknowledges = true;
  const drill = await finished(rig, number);
  assert.deepEqual([drill.outcome, drill.problem], ['failed', 'the controller was restarted while it measured']);
  nothingIsLeft(rig);
});

test('an order that left no note in the record before a crash is found again', { timeout }, async () => {
  await using rig = await Rig.open(1);
  const number = await begin(rig);
  await rig.until(() => rig.inventory.instances.all().some(({ state }) => state === 'running'));
  // As a crash leaves it between the two writes.
  const { inventory } = rig;
  await inventory.drills.advance(number, { phase: 'killing' });
  const given = await inventory.orders.kill({ scope: 'canary', reason: 'drill 1', by: 'drill 1', targets: [macOf(1)] });
  assert.ok('number' in given);
  await rig.stop();
  await rig.start();
  const drill = await finished(rig, number);
  assert.deepEqual([drill.outcome, drill.order], ['passed', given.number]);
  assert.equal(rig.inventory.orders.all().length, 1);
  nothingIsLeft(rig);
});

test('a disk that refuses for a while keeps the drill waiting, and no longer', { timeout }, async () => {
  await using rig = await Rig.open(1);
  rig.failures = [];
  const number = await begin(rig);
  const { drills } = rig.inventory;
  const advance = drills.advance.bind(drills);
  let refusals = 0;
  drills.advance = (...step) => {
    // Each step once: what it did before is done already when it is repeated.
    if (++refusals % 2 === 1) return Promise.reject(new StorageError('cannot store: the disk is full'));
    return advance(...step);
  };
  for (let steps = 1; steps <= 4; steps++) {
    await rig.until(() => refusals === 2 * steps - 1);
    // Not asked again at once.
    for (let looks = 0; looks < 5; looks++) await rig.look();
    assert.equal(refusals, 2 * steps - 1);
    // A board is on time however long the note of it takes.
    await rig.until(() =>
      rig.inventory.orders.all().every((order) => rig.inventory.orders.receipts(order.number).length === 1),
    );
    rig.leap(5_000);
    await rig.until(() => refusals >= 2 * steps);
  }
  const drill = await finished(rig, number);
  assert.equal(rig.failures.length, 4);
  assert.deepEqual([drill.outcome, drill.stopped], ['passed', 1]);
  assert.equal(rig.inventory.orders.all().length, 1);
  nothingIsLeft(rig);
});

test('an operator’s order in the midst goes before the drill, and stands after it', { timeout }, async () => {
  await using rig = await Rig.open(1);
  for (const peer of rig.peers) peer.state = 'starting';
  const first = await begin(rig);
  assert.equal((await rig.ask('POST /v1/kill', { body: { customer: 'canary', reason: 'fire' } })).status, 201);
  const drill = await finished(rig, first);
  assert.equal(drill.outcome, 'failed');
  assert.match(drill.problem, /order 1 stopped the canary before the drill could; canary stays: order 1 stops canary/);
  assert.equal(rig.inventory.orders.standing()[0]?.reason, 'fire');
  assert.deepEqual(rig.inventory.workloads.all(), []);
  const refused = await rig.ask('POST /v1/drills', { body: {} });
  assert.equal(refused.status, 409);
  await rig.ask('POST /v1/lift', { body: { customer: 'canary' } });
  await rig.inventory.customers.remove('canary');

  const second = await begin(rig);
  assert.equal((await rig.ask('POST /v1/kill', { body: { everything: true, reason: 'fire' } })).status, 201);
  assert.equal((await finished(rig, second)).outcome, 'failed');
  assert.deepEqual([rig.inventory.customers.all(), rig.inventory.orders.standing().length], [[], 1]);
  await rig.ask('POST /v1/lift', { body: { everything: true } });

  const third = await begin(rig);
  for (const peer of rig.peers) Object.assign(peer, { state: 'running', acknowledges: false });
  await killed(rig);
  assert.equal((await rig.ask('POST /v1/lift', { body: { customer: 'canary' } })).status, 200);
  assert.match((await finished(rig, third)).problem, /^order 3 was lifted before every node had acknowledged$/);
  nothingIsLeft(rig);
});

test('a canary that somebody removes fails the drill', { timeout }, async () => {
  await using rig = await Rig.open(1);
  for (const peer of rig.peers) peer.state = 'starting';
  const number = await begin(rig);
  assert.equal((await rig.ask('DELETE /v1/workloads/canary/canary')).status, 200);
  const drill = await finished(rig, number);
  assert.deepEqual([drill.outcome, drill.order], ['failed', null]);
  nothingIsLeft(rig);
});

test('what cannot be a drill is refused in one sentence', { timeout }, async () => {
  await using rig = await Rig.open(1, { sample: true });
  const { inventory, ask } = rig;
  await inventory.customers.add({ name: 'acme' });
  await inventory.workloads.put({ customer: 'acme', name: 'web', spec: { image: 'web', replicas: 0 } });
  await inventory.customers.add({ name: 'bolt' });
  await inventory.orders.kill({ scope: 'bolt', reason: 'test', by: 'root', targets: [] });
  const table: [body: object, status: number, wanted: RegExp][] = [
    [{ customer: 'acme' }, 409, /acme has workloads \(web\)/],
    [{ customer: 'bolt' }, 409, /order 1 stops bolt/],
    [{ image: 'nothing' }, 409, /there is no image nothing/],
    [{ share: 0 }, 400, /share/],
    [{ share: 1.5 }, 400, /share/],
    [{ customer: 'Not A Name' }, 400, /customer/],
    [{ force: true }, 400, /force/],
  ];
  for (const [body, status, wanted] of table) {
    const answer = await ask('POST /v1/drills', { body });
    assert.equal(answer.status, status, JSON.stringify(answer));
    assert.match(JSON.stringify(answer.body), wanted);
  }
  for (const route of ['POST /v1/drills', 'PUT /v1/drills/schedule', 'DELETE /v1/drills/schedule'])
    assert.equal((await ask(route, { body: {}, token: 'wrong' })).status, 401);
  await inventory.orders.kill({ scope: '*', reason: 'fire', by: 'root', targets: [] });
  assert.match(JSON.stringify(await ask('POST /v1/drills', { body: {} })), /order 2 stops everything/);
  assert.equal((await ask('GET /v1/drills/1')).status, 404);
  assert.deepEqual(inventory.drills.all(), []);
  assert.equal(inventory.images.get(canaryImage), undefined);
});

test(
  'without a name the canary runs Muster’s own sample, imported once; without that, the refusal says so',
  { timeout },
  async () => {
    await using none = await Rig.open(1);
    await none.inventory.images.remove(canaryImage);
    const refused = await none.ask('POST /v1/drills', { body: {} });
    assert.equal(refused.status, 409);
    assert.match(JSON.stringify(refused.body), /want an image by name, or Muster's own sample at .*worker\.tar/);

    await using rig = await Rig.open(1, { sample: true });
    const both = await Promise.all([
      rig.ask('POST /v1/drills', { body: {} }),
      rig.ask('POST /v1/drills', { body: {} }),
    ]);
    assert.deepEqual(new Set(both.map(({ status }) => status)), new Set([202, 409]));
    assert.match(JSON.stringify(both), /drill 1 is not over yet/);
    const drill = await finished(rig, 1);
    assert.equal(drill.outcome, 'passed', drill.problem);
    assert.deepEqual(rig.inventory.images.get(canaryImage)?.config.entrypoint, ['/usr/bin/worker']);
    assert.equal((await finished(rig, await begin(rig))).outcome, 'passed');
  },
);

test(
  'a schedule starts drills by itself, also what fell due while no controller ran, or says why not',
  { timeout },
  async () => {
    await using rig = await Rig.open(1);
    const wrong = { everySeconds: 3_600, request: { image: 'nothing' } };
    assert.equal((await rig.ask('PUT /v1/drills/schedule', { body: wrong })).status, 409);
    assert.equal((await rig.ask('PUT /v1/drills/schedule', { body: { everySeconds: 5, request: {} } })).status, 400);
    const put = await rig.ask('PUT /v1/drills/schedule', {
      body: { everySeconds: 3_600, request: { customer: 'planned' } },
    });
    assert.equal(put.status, 200);
    await rig.stop();
    rig.leap(10 * 3_600_000);
    await rig.start();
    // Boards that lost power with the controller get their time.
    for (let looks = 0; looks < 5; looks++) await rig.running?.drills.step();
    assert.deepEqual(rig.inventory.drills.all(), []);
    rig.leap(120_000);
    const drill = await finished(rig, await nextDrill(rig, 1));
    assert.deepEqual([drill.outcome, drill.by, drill.customer], ['passed', 'schedule', 'planned']);
    nothingIsLeft(rig);

    await rig.ask('POST /v1/kill', { body: { everything: true, reason: 'fire' } });
    rig.leap(3_600_000);
    const before = rig.inventory.drills.schedule()?.nextAt ?? 0;
    await rig.until(() => (rig.inventory.drills.schedule()?.nextAt ?? 0) > before);
    await rig.ask('POST /v1/lift', { body: { everything: true } });
    for (const peer of rig.peers) peer.state = 'starting';
    const running = await begin(rig);
    rig.leap(3_600_000);
    const then = rig.inventory.drills.schedule()?.nextAt ?? 0;
    await rig.until(() => (rig.inventory.drills.schedule()?.nextAt ?? 0) > then);
    const told = await eventsOf(rig, 'schedule');
    assert.ok(
      told.some((message) => /^skipped: order \d+ stops everything/.test(message)),
      told.join('; '),
    );
    assert.ok(told.includes(`skipped: drill ${running} is not over yet`), told.join('; '));
    for (const peer of rig.peers) peer.state = 'running';
    await finished(rig, running);

    assert.equal((await rig.ask('DELETE /v1/drills/schedule')).status, 200);
    assert.equal((await rig.ask('DELETE /v1/drills/schedule')).status, 409);
    rig.leap(10 * 3_600_000);
    for (let looks = 0; looks < 5; looks++) await rig.running?.drills.step();
    assert.equal(rig.inventory.drills.all().length, 2);
  },
);

async function nextDrill(rig: Rig, number: number): Promise<number> {
  await rig.until(() => rig.inventory.drills.get(number) !== undefined);
  return number;
}
