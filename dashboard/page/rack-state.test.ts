import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Drill } from '../../protocol/api/drills.ts';
import type { Event } from '../../protocol/api/events.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import type { Node } from '../../protocol/api/nodes.ts';
import type { KillOrder } from '../../protocol/api/orders.ts';
import type { Snapshot } from '../../protocol/api/stream.ts';
import { everything as everythingOnTheWire } from '../../protocol/roll-call.ts';
import {
  apply,
  bootProgress,
  counts,
  emptyState,
  eventLimit,
  eventsMatching,
  everything,
  instancesByCustomer,
  instancesOn,
  killProgress,
  noChanges,
  orderOf,
  slotsOf,
  standingOrders,
  waitingApprovals,
} from './rack-state.ts';

const at = 1_700_000_000_000;

function node(slot: number, more: Partial<Node> = {}): Node {
  return {
    mac: `02:00:00:c2:00:0${slot}`,
    name: `node-${slot}`,
    slot,
    state: 'ready',
    since: at,
    reason: 'first heartbeat after joining',
    stage: 'joined',
    firmware: 'uboot',
    ip: null,
    bootId: null,
    serial: null,
    fenced: false,
    placement: 'open',
    labels: {},
    lastHeartbeatAt: null,
    bootDurationMs: null,
    instances: 0,
    customers: [],
    facts: null,
    sample: null,
    ...more,
  };
}

function instance(id: string, more: Partial<Instance> = {}): Instance {
  const usual = { customer: 'acme', workload: 'web', node: '02:00:00:c2:00:01', nodeName: 'node-1' };
  const ready = (more.state ?? 'running') === 'running';
  return { id, ...usual, state: 'running', reason: '', ready, since: at, restarts: 0, endpoint: null, ...more };
}

function order(told: Pick<KillOrder, 'number' | 'scope'> & Partial<KillOrder>): KillOrder {
  const usual = {
    reason: 'test',
    by: 'anna',
    at,
    liftedAt: null,
    liftedBy: null,
    stored: true,
    nodes: 2,
    stopped: 0,
    slowestMs: null,
  };
  return { ...usual, unacknowledged: [], holding: [], ...told };
}

const sample = {
  cpu: 0.5,
  cpuPerCore: [0.5],
  memoryUsedBytes: 1,
  memoryTotalBytes: 2,
  temperatureCelsius: null,
  uptimeSeconds: 1,
  rxBytesPerSecond: 0,
  txBytesPerSecond: 0,
  agentRssBytes: 1,
  permitThreadDelayMs: 1,
};

const event = (id: number, message = 'became ready'): Event => ({ id, at, kind: 'node', subject: 'node-1', message });

function snapshot(more: Partial<Snapshot> = {}): Snapshot {
  const status = { version: '1', startedAt: at, startupMs: 1, rack: 'r', nodes: {}, customers: 0, instances: 0 };
  return {
    status: { ...status, running: 0, standingOrders: 0, problems: [], twoPersonRule: false, lastDrill: null },
    nodes: [node(1), node(2, { state: 'loading', stage: 'kernel' })],
    customers: [],
    workloads: [],
    instances: [instance('web-00000001'), instance('web-00000002', { state: 'exited', node: '02:00:00:c2:00:02' })],
    kills: [],
    approvals: [],
    drills: [],
    events: [event(2), event(1)],
    ...more,
  };
}

function stateOf(data: Snapshot) {
  const state = emptyState();
  apply({ kind: 'snapshot', data }, { state, changes: noChanges() });
  return state;
}

test('everything is written as on the wire', () => assert.equal(everything, everythingOnTheWire));

test('a snapshot replaces all that was known', () => {
  const state = stateOf(snapshot());
  const changes = noChanges();
  apply({ kind: 'snapshot', data: snapshot({ nodes: [node(3)], instances: [], events: [] }) }, { state, changes });
  assert.deepEqual([...state.nodes.keys()], ['02:00:00:c2:00:03']);
  assert.equal(state.instances.size, 0);
  assert.equal(state.events.length, 0);
  assert.equal(changes.everything, true);
});

test('counts come from the documents, and follow them', () => {
  const state = stateOf(snapshot());
  assert.deepEqual([counts(state).nodes.ready, counts(state).total, counts(state).running], [1, 2, 1]);
  const changes = noChanges();
  apply({ kind: 'node', data: node(2, { fenced: true }) }, { state, changes });
  apply({ kind: 'instance-removed', data: { id: 'web-00000001' } }, { state, changes });
  assert.deepEqual([counts(state).nodes.ready, counts(state).fenced, counts(state).running], [2, 1, 0]);
  assert.deepEqual([...changes.nodes].toSorted(), ['02:00:00:c2:00:01', '02:00:00:c2:00:02']);
  assert.deepEqual([...changes.customers], ['acme']);
});

test('samples change their node alone, and none for an unknown node', () => {
  const state = stateOf(snapshot());
  const changes = noChanges();
  apply({ kind: 'samples', data: { '02:00:00:c2:00:01': sample, '02:00:00:00:00:99': sample } }, { state, changes });
  assert.deepEqual([...changes.samples], ['02:00:00:c2:00:01']);
  assert.equal(changes.nodes.size, 0);
  assert.equal(state.nodes.get('02:00:00:c2:00:01')?.sample?.cpu, 0.5);
});

test('removing what is not there changes nothing', () => {
  const state = stateOf(snapshot());
  const changes = noChanges();
  apply({ kind: 'instance-removed', data: { id: 'web-0000dead' } }, { state, changes });
  assert.deepEqual(changes, noChanges());
});

test('an approval waits until it is approved, withdrawn or expired; the oldest is first', () => {
  const state = stateOf(snapshot());
  const changes = noChanges();
  const usual = { action: 'lift', scope: 'acme', reason: '', by: 'anna', at, expiresAt: at + 600_000 } as const;
  for (const id of [8, 7]) apply({ kind: 'approval', data: { id, ...usual } }, { state, changes });
  assert.equal(changes.approvals, true);
  const ids = () => waitingApprovals(state, at).map(({ id }) => id);
  assert.deepEqual(ids(), [7, 8]);
  apply({ kind: 'approval-removed', data: { id: 7 } }, { state, changes });
  assert.deepEqual(ids(), [8]);
  // The page must not offer what the controller refuses, even before it hears so.
  assert.deepEqual(waitingApprovals(state, at + 600_000), []);
});

test('an instance that moves touches both boards', () => {
  const state = stateOf(snapshot());
  const changes = noChanges();
  apply({ kind: 'instance', data: instance('web-00000001', { node: '02:00:00:c2:00:02' }) }, { state, changes });
  assert.equal(changes.nodes.size, 2);
  assert.equal(instancesOn(state, '02:00:00:c2:00:01').length, 0);
});

test('what does not run comes first in a customer’s list', () => {
  const list = instancesByCustomer(stateOf(snapshot())).get('acme') ?? [];
  assert.deepEqual(
    list.map(({ state }) => state),
    ['exited', 'running'],
  );
});

test('events are sorted, deduplicated and bounded', () => {
  const state = stateOf(snapshot());
  assert.deepEqual(
    state.events.map(({ id }) => id),
    [1, 2],
  );
  apply({ kind: 'event', data: event(2) }, { state, changes: noChanges() });
  for (let id = 3; id < 1_000; id += 1) apply({ kind: 'event', data: event(id) }, { state, changes: noChanges() });
  assert.equal(state.events.length, eventLimit);
  assert.equal(state.events.at(-1)?.id, 999);
});

test('the filter wants every word, in any field, newest first', () => {
  const events = [event(1, 'became Silent'), event(2, 'became ready'), event(3, 'went silent')];
  const found = (filter: string) => eventsMatching(events, filter).map(({ id }) => id);
  assert.deepEqual(found(''), [3, 2, 1]);
  assert.deepEqual(found(' silent NODE-1 '), [3, 1]);
  assert.deepEqual(found('silent ready'), []);
});

test('the order for everything is shown first, lifted ones are not, and a customer’s own order goes before it', () => {
  const kills = [
    order({ number: 1, scope: 'acme' }),
    order({ number: 2, scope: 'globex', liftedAt: at }),
    order({ number: 3, scope: '*' }),
    order({ number: 4, scope: 'zeta' }),
  ];
  const state = stateOf(snapshot({ kills }));
  assert.deepEqual(
    standingOrders(state).map(({ number }) => number),
    [3, 4, 1],
  );
  assert.equal(orderOf(state, 'acme')?.number, 1);
  assert.equal(orderOf(state, 'globex')?.number, 3);
});

test('the order of a drill is no emergency, and the drill is kept', () => {
  const drill = {
    number: 4,
    customer: 'canary',
    by: 'root',
    startedAt: at,
    endedAt: null,
    phase: 'killing',
    outcome: null,
    problem: '',
    order: 9,
    drawn: 2,
    leftOut: [],
    nodes: 2,
    stopped: 0,
    medianMs: null,
    slowestMs: null,
    unacknowledged: [],
  } satisfies Drill;
  const state = stateOf(
    snapshot({
      kills: [order({ number: 8, scope: 'acme' }), order({ number: 9, scope: 'canary' })],
      drills: [{ ...drill, order: null }],
    }),
  );
  assert.equal(standingOrders(state).length, 2);
  const changes = noChanges();
  apply({ kind: 'drill', data: drill }, { state, changes });
  assert.deepEqual([changes.drills, changes.kills], [true, true]);
  assert.deepEqual(
    standingOrders(state).map(({ number }) => number),
    [8],
  );
  assert.equal(state.drills.get(4)?.phase, 'killing');
});

test('the count of a kill in words', () => {
  const all = killProgress(order({ number: 1, scope: 'acme', stopped: 2, slowestMs: 142.6 }));
  assert.deepEqual(all, { done: true, count: '2/2 stopped, slowest 143 ms', unacknowledged: '' });
  const unstored = killProgress(order({ number: 1, scope: 'acme', stopped: 2, slowestMs: 143, stored: false }));
  assert.match(unstored.unacknowledged, /^In force, but NOT STORED/);
  const some = killProgress(order({ number: 1, scope: 'acme', stopped: 1, unacknowledged: ['node-2'] }));
  assert.deepEqual(some, { done: false, count: '1/2 stopped', unacknowledged: 'Not acknowledged: node-2' });
  const many = killProgress(
    order({ number: 1, scope: '*', nodes: 684, unacknowledged: Array.from({ length: 20 }, (_, index) => `n${index}`) }),
  );
  assert.match(many.unacknowledged, /n11 and 8 more$/);
});

for (const [slots, shown] of [
  [[3, 1], '1 · 3'],
  [[1, 100_000], '1 100000'],
  [[2, 2], '· 2 2'],
] as const) {
  test(`boards in slots ${slots.join(' and ')} are drawn as ${shown}`, () => {
    const state = stateOf(snapshot({ nodes: slots.map((slot, index) => node(slot, { mac: `m${index}` })) }));
    const drawn = slotsOf(state).map((each) => (each.node === undefined ? '·' : String(each.slot)));
    assert.equal(drawn.join(' '), shown);
  });
}

for (const [state, stage, done, current, stuck] of [
  ['seen', 'dhcp-discover', 0, 'dhcp', false],
  ['loading', 'tftp', 1, 'tftp', false],
  ['loading', 'kernel', 3, 'kernel', false],
  ['loading', 'initramfs', 4, 'initrd', false],
  ['loading', 'root-verified', 5, 'root', false],
  ['joining', 'joined', 6, 'joined', false],
  ['ready', 'joined', 8, undefined, false],
  ['loading', 'refused-kernel', 3, 'kernel', true],
  ['loading', 'something new', 0, undefined, false],
] as const) {
  test(`a board that is ${state} at ${stage} has ${done} steps behind it`, () =>
    assert.deepEqual(bootProgress({ state, stage }), { done, current, stuck }));
}
