import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodePatch } from '../../protocol/api/nodes.ts';
import { heartbeat, macOf, rejoin, type TestRack, testRack } from '../rack.fixture.ts';
import { nodeView } from '../../controller/api/views.ts';

const mac = macOf(1);

test('a board boots, and each change of state is an event with its reason', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
  await rack.pass(1_000);
  await inventory.nodes.bootStage({ mac, stage: 'dhcp-ack', firmware: 'uboot', ip: '10.77.0.50' });
  await inventory.nodes.bootStage({ mac, stage: 'tftp', detail: 'snp.efi' });
  await inventory.nodes.bootStage({ mac, stage: 'dhcp-discover' });
  await rack.pass(20_000);
  const token = await rack.boot(mac);
  assert.ok(!('refused' in (await rack.join(mac, { bootId: 'one', token }))));
  await heartbeat(rack, mac);
  await rack.pass(35_000);
  await heartbeat(rack, mac);
  const events = await inventory.events.list({ limit: 100, subject: mac });
  assert.deepEqual(
    events.filter(({ kind }) => kind === 'node').map(({ message }) => message),
    [
      'new node node-c20001 in slot 1',
      'seen → loading: tftp snp.efi',
      'loading → seen: dhcp-discover from uboot',
      'seen → loading: script',
      'loading → joining: joined with boot one',
      'joining → ready: heartbeat',
      'ready → silent: no heartbeat for 3 s',
      'silent → lost: no heartbeat for 30 s',
      'lost → ready: heartbeat',
    ],
  );
  const view = nodeView(inventory, mac);
  assert.equal(view?.bootDurationMs, 21_000);
  assert.equal(view.lastHeartbeatAt, rack.now());
  assert.equal(view.stage, 'joined');
});

test('a joined board that sends no heartbeat is lost after 30 s; a controller that just started waits for all anew', async () => {
  await using rack = await testRack();
  await rack.ready(mac);
  await rack.join(macOf(2), { bootId: 'x', token: await rack.boot(macOf(2)) });
  await rack.pass(2_900);
  await rack.restart();
  await rack.pass(2_900);
  assert.equal(rack.inventory.nodes.get(mac)?.state, 'ready');
  await rack.pass(400);
  assert.equal(rack.inventory.nodes.get(mac)?.state, 'silent');
  await rack.pass(30_000);
  assert.equal(rack.inventory.nodes.get(macOf(2))?.state, 'lost');
});

test('after a pause of the whole machine nobody is called lost before there was time to hear them', async () => {
  await using rack = await testRack();
  await rack.ready(mac);
  await rack.inventory.nodes.sweep(rack.now() + 60_000);
  assert.equal(rack.inventory.nodes.get(mac)?.state, 'ready');
  await rack.inventory.nodes.sweep(rack.now() + 63_000);
  assert.equal(rack.inventory.nodes.get(mac)?.state, 'silent');
});

/** So that it is never silent: with a heartbeat each 750 ms. */
async function alive(rack: TestRack, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 750) {
    await heartbeat(rack, mac);
    await rack.pass(750);
  }
}

const events = async ({ inventory }: TestRack, pattern: RegExp) =>
  (await inventory.events.list({ limit: 100, subject: mac })).filter(({ message }) => pattern.test(message));

test('nobody takes the place of a board that is alive, and one event names both', async () => {
  await using rack = await testRack();
  const { session } = await rack.ready(mac, 'one');
  await alive(rack, 6_000);
  const before = rack.inventory.nodes.get(mac);
  for (let asked = 0; asked < 20; asked++) {
    await rack.inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uefi' });
    const issued = await rack.inventory.nodes.issueJoinToken(mac, '10.77.0.66');
    assert.ok('refused' in issued && issued.held);
    assert.match(
      issued.refused,
      /node-c20001 at 10\.77\.0\.50 \(boot one\) has its place until it is silent for 4\.5 s/,
    );
    await alive(rack, 750);
  }
  assert.deepEqual(rack.inventory.nodes.get(mac), before, 'it stays ready');
  assert.equal(rack.inventory.nodes.session(session)?.mac, mac);
  const told = await events(rack, /two machines use this MAC/);
  assert.equal(told.length, 1);
  assert.match(
    told[0]?.message ?? '',
    /node-c20001 is alive at 10\.77\.0\.50 \(boot one\).* asks for an address as uefi/,
  );
});

test('a board that was reset gets its token once it was silent for 4.5 s, and nobody speaks of two machines', async () => {
  await using rack = await testRack();
  await rack.ready(mac, 'one');
  await alive(rack, 6_000);
  let waitedMs = 0;
  for (; rack.inventory.nodes.placeHolder(mac) !== undefined; waitedMs += 250) {
    await rack.inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
    assert.ok('held' in (await rack.inventory.nodes.issueJoinToken(mac)));
    await rack.pass(250);
  }
  assert.ok(waitedMs >= 3_250 && waitedMs <= 4_250, `${waitedMs} ms`);
  await rack.ready(mac, 'two');
  await alive(rack, 6_000);
  assert.deepEqual(await events(rack, /two machines/), []);
});

test('a token from a moment of silence buys nothing from a board that is heard again', async () => {
  await using rack = await testRack();
  const { session } = await rack.ready(mac, 'one');
  const token = await rack.boot(mac);
  await alive(rack, 3_000);
  assert.match(JSON.stringify(await rack.join(mac, { bootId: 'two', token })), /has its place .*"held":true/);
  await alive(rack, 3_000);
  assert.equal(rack.inventory.nodes.sessionOf(mac)?.id, session);
  assert.match(JSON.stringify(await events(rack, /two machines/)), /10\.77\.0\.50 wants to join with boot two/);
  await rack.pass(4_250);
  assert.ok('session' in (await rack.join(mac, { bootId: 'two', token })), 'it is spent only by a join');
});

test('a controller that just started, or was stopped for long, gives no place away before it has listened for 4 s', async () => {
  await using rack = await testRack();
  const first = await rack.ready(mac, 'one');
  await rack.pass(10_000);
  assert.equal(rack.inventory.nodes.placeHolder(mac), undefined);
  await rack.restart();
  assert.ok('held' in (await rack.inventory.nodes.issueJoinToken(mac)));
  await rack.pass(4_000);
  assert.match(rack.inventory.nodes.placeHolder(mac) ?? '', /boot one/);
  assert.deepEqual(await rack.join(mac, rejoin(first, { mac, bootId: 'one' })), first, 'its own agent need not wait');
  await alive(rack, 3_000);
  // Stopped for an hour: what it was sent meanwhile is still in the socket.
  await rack.inventory.nodes.sweep(rack.now() + 3_600_000);
  assert.ok('held' in (await rack.inventory.nodes.issueJoinToken(mac)));
  assert.ok('token' in (await rack.inventory.nodes.issueJoinToken(macOf(5))), 'who has no session waits for nothing');
});

test('a token is good where its script was sent, or at another address that is leased to its MAC', async () => {
  await using rack = await testRack();
  const issued = await rack.inventory.nodes.issueJoinToken(mac, '10.77.0.60');
  assert.ok('token' in issued);
  assert.match(
    JSON.stringify(await rack.join(mac, { bootId: 'one', ...issued })),
    /the join token of 02:00:00:c2:00:01 was given to 10\.77\.0\.60, and 10\.77\.0\.50 is not leased to that MAC/,
  );
  await rack.inventory.leases.save([{ ip: '10.77.0.50', mac, state: 'bound', expiresAtMs: rack.now() + 1_000 }]);
  assert.ok('session' in (await rack.join(mac, { bootId: 'one', ...issued })));
});

test('a token is good once, for its board, for ten minutes', async () => {
  await using rack = await testRack();
  const other = macOf(2);
  const token = await rack.boot(mac);
  await rack.boot(other);
  const refusal = async (from: string, request: { bootId: string; token: string }) => {
    const answer = await rack.join(from, request);
    return 'refused' in answer ? answer.refused : 'joined';
  };
  assert.match(await refusal(other, { bootId: 'b', token }), /was not issued for 02:00:00:c2:00:02/);
  assert.match(await refusal(macOf(3), { bootId: 'b', token }), /unknown/);
  assert.match(await refusal(mac, { bootId: 'b', token: 'f'.repeat(64) }), /was not issued/);
  assert.equal(await refusal(mac, { bootId: 'b', token }), 'joined');
  assert.match(await refusal(mac, { bootId: 'another boot', token }), /used up/);
  assert.equal(
    await refusal(mac, { bootId: 'b', token }),
    'joined',
    'the same boot asks again: the first answer was lost',
  );
  await heartbeat(rack, mac);
  assert.match(await refusal(mac, { bootId: 'b', token }), /used up/);
  const late = await rack.boot(mac);
  await rack.pass(600_000);
  assert.match(await refusal(mac, { bootId: 'c', token: late }), /expired/);
  const first = await rack.boot(mac);
  await rack.boot(mac);
  assert.match(await refusal(mac, { bootId: 'c', token: first }), /was not issued/);
  const stored = JSON.stringify(rack.inventory.nodes.get(mac));
  assert.ok(!stored.includes(late) && !stored.includes(first), 'only the hash is kept');
});

test('a restarted agent gets its session back, also from a restarted controller; a board booted anew gets another', async () => {
  await using rack = await testRack();
  const first = await rack.ready(mac, 'one');
  await rack.restart();
  assert.deepEqual(await rack.join(mac, rejoin(first, { mac, bootId: 'one' })), first);
  assert.equal(rack.inventory.nodes.get(mac)?.state, 'ready');
  const second = await rack.ready(mac, 'two');
  assert.notEqual(second.session, first.session);
  assert.equal(rack.inventory.nodes.session(first.session), undefined, 'what the old boot signs is refused');
  assert.equal(rack.inventory.nodes.sessionOf(mac)?.id, second.session);
  assert.equal(rack.inventory.nodes.sessionOf(mac)?.key.toString('hex'), second.key);
  assert.match(JSON.stringify(await rack.join(mac, rejoin(first, { mac, bootId: 'one' }))), /another one/);
  assert.match(JSON.stringify(await rack.join(mac, rejoin(second, { mac, bootId: 'three' }))), /another one/);
  assert.match(
    JSON.stringify(await rack.join(mac, { bootId: 'two', session: { id: second.session, proof: '0'.repeat(64) } })),
    /another one/,
  );
  assert.equal(rack.inventory.nodes.all().length, 1);
});

test('a fenced board gets no join token and may not join, and keeps its session to say what stopped', async () => {
  await using rack = await testRack();
  const answer = await rack.ready(mac);
  const token = await rack.boot(mac);
  await rack.inventory.nodes.patch(mac, { fenced: true });
  assert.deepEqual(await rack.inventory.nodes.issueJoinToken(mac), { refused: 'node-c20001 is fenced' });
  assert.match(JSON.stringify(await rack.join(mac, { bootId: 'b', token })), /fenced/);
  assert.ok(rack.inventory.nodes.session(answer.session));
  await rack.inventory.nodes.patch(mac, { fenced: false });
  assert.match(
    JSON.stringify(await rack.join(mac, { bootId: 'b', token })),
    /not issued/,
    'a token from before does not count',
  );
});

test('a board is swapped: the new one takes slot and name of the lost one, which is gone', async () => {
  await using rack = await testRack();
  const old = await rack.ready(mac);
  await rack.inventory.nodes.patch(mac, { name: 'left-top', slot: 7 });
  const fresh = macOf(9);
  await rack.ready(fresh);
  assert.deepEqual(await rack.inventory.nodes.patch(fresh, { slot: 7 }), {
    refused: 'slot 7 belongs to left-top (02:00:00:c2:00:01, ready): remove or rename that one first',
  });
  assert.match(JSON.stringify(await rack.inventory.nodes.remove(mac)), /left-top is ready/);
  for (let step = 0; step < 35; step++) {
    rack.inventory.nodes.heartbeat(fresh, { at: rack.now() });
    await rack.pass(1_000);
  }
  assert.equal(rack.inventory.nodes.get(mac)?.state, 'lost');
  const patched = await rack.inventory.nodes.patch(fresh, { slot: 7, name: 'left-top' });
  assert.ok(!('refused' in patched));
  assert.deepEqual(
    rack.inventory.nodes.all().map((node) => [node.mac, node.name, node.slot]),
    [[fresh, 'left-top', 7]],
  );
  assert.equal(rack.inventory.nodes.session(old.session), undefined);
  await rack.restart();
  assert.equal(rack.inventory.nodes.all().length, 1);
  assert.equal(rack.inventory.nodes.sessionOf(mac), undefined);
});

test('a removed board that boots again is a new node; names and slots are never given twice', async () => {
  await using rack = await testRack();
  await rack.ready(mac);
  const twin = '06:00:00:c2:00:01';
  await Promise.all([rack.boot(twin), rack.boot(macOf(2)), rack.boot(macOf(3))]);
  assert.deepEqual(
    rack.inventory.nodes
      .all()
      .map(({ name, slot }) => `${slot} ${name}`)
      .toSorted(),
    ['1 node-c20001', '2 node-060000c20001', '3 node-c20002', '4 node-c20003'],
  );
  assert.match(
    JSON.stringify(await rack.inventory.nodes.patch(twin, { name: 'node-c20002' })),
    /name node-c20002 belongs to/,
  );
  assert.match(JSON.stringify(await rack.inventory.nodes.remove(macOf(77))), /no node has the MAC/);
  assert.deepEqual(await rack.inventory.nodes.remove(macOf(2)), { removed: macOf(2) });
  await rack.boot(macOf(4));
  assert.equal(rack.inventory.nodes.get(macOf(4))?.slot, 3);
  assert.equal(rack.inventory.nodes.get(macOf(2)), undefined);
});

test('684 boards that boot at once get 684 names and slots', async () => {
  await using rack = await testRack();
  const macs = Array.from({ length: 684 }, (_, i) => macOf(i));
  await Promise.all(
    macs.map((each) => rack.inventory.nodes.bootStage({ mac: each, stage: 'dhcp-discover', firmware: 'uboot' })),
  );
  assert.equal(new Set(rack.inventory.nodes.all().map(({ name }) => name)).size, 684);
  assert.deepEqual(
    rack.inventory.nodes
      .all()
      .map(({ slot }) => slot)
      .toSorted((a, b) => a - b),
    macs.map((_, i) => i + 1),
  );
});

test('a flood of invented MACs makes a bounded number of nodes, and takes no place from a board that joined', async () => {
  await using rack = await testRack();
  await rack.ready(mac);
  const flood = (from: number, count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, i) =>
        rack.inventory.nodes.bootStage({ mac: macOf(from + i), stage: 'dhcp-discover', firmware: 'uefi' }),
      ),
    );
  await flood(10, 3_000);
  assert.equal(rack.inventory.nodes.all().length, 700);
  assert.match(JSON.stringify(await rack.inventory.nodes.issueJoinToken(macOf(60_000))), /too many new boards/);
  for (let minute = 0; minute < 6; minute++) {
    await rack.pass(20_000);
    await flood(3_100 + minute * 1_000, 1_000);
  }
  assert.equal(rack.inventory.nodes.all().length, 4_096);
  assert.ok(rack.inventory.nodes.get(mac));
});

test('beacons of strangers leave a bounded number of events and no node', async () => {
  await using rack = await testRack();
  for (let i = 0; i < 1_000; i++)
    rack.inventory.nodes.beaconSeen({ uuid: i.toString(16).padStart(32, '0'), ip: `10.77.1.${i % 250}` });
  assert.equal(rack.inventory.nodes.all().length, 0);
  assert.equal((await rack.inventory.events.list({ limit: 1_000 })).length, 10);
});

test('an operator says what a node is for: labels and placement, each told once', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  const mac = macOf(1);
  await rack.ready(mac);
  const patch = (given: NodePatch) => inventory.nodes.patch(mac, { ...given, by: 'anna' });
  await patch({ labels: { zone: 'a', old: 'x' }, placement: 'cordoned' });
  await patch({ labels: { old: null }, placement: 'cordoned' });
  await patch({ placement: 'open' });
  assert.deepEqual(await patch({ labels: { node: 'x' } }), {
    refused: 'label node follows from the board itself: want another name',
  });
  const { labels, placement } = inventory.nodes.get(mac) ?? {};
  assert.deepEqual([labels, placement], [{ zone: 'a' }, 'open']);
  const events = (await inventory.events.list({ limit: 100, subject: mac })).map(({ message }) => message);
  assert.deepEqual(
    events.filter((message) => /labels|cordoned|takes/.test(message)),
    [
      'labels: old=x, zone=a (by anna)',
      'cordoned: it keeps its instances and gets no more (by anna)',
      'labels: zone=a (by anna)',
      'takes instances again (by anna)',
    ],
  );
});
