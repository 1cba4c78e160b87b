import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change } from '../store/changes.ts';
import { tokenSha256 } from './operators.ts';
import type { ApprovalRequest } from './approvals.ts';
import { macOf, testRack, type TestRack } from '../rack.fixture.ts';

const minute = 60_000;

/** `root`, `anna`, `ben`; one board; a customer that an order stops. */
async function rackOfTwo(): Promise<TestRack> {
  const rack = await testRack();
  await rack.inventory.operators.setRoot(tokenSha256('root token'));
  for (const name of ['anna', 'ben']) assert.ok('token' in (await rack.inventory.operators.add({ name }, 'root')));
  await rack.ready(macOf(1));
  for (const name of ['acme', 'bolt']) await rack.inventory.customers.add({ name });
  await rack.inventory.orders.kill({ scope: 'acme', reason: 'spam', by: 'anna', targets: [macOf(1)] });
  return rack;
}

const stop: ApprovalRequest = { action: 'kill', scope: '*', reason: 'fire', by: 'anna', targets: [] };
const lift: ApprovalRequest = { action: 'lift', scope: 'acme', reason: 'sorry', by: 'anna', targets: [] };
const targets = [macOf(1)];

async function messages(rack: TestRack, subject: string): Promise<string[]> {
  return (await rack.inventory.events.list({ limit: 100, subject })).map(({ message }) => message);
}

test('operators: a token is shown once, kept as a hash, and works until its operator is removed', async () => {
  await using rack = await testRack();
  await rack.inventory.operators.setRoot(tokenSha256('root token'));
  const anna = await rack.inventory.operators.add({ name: 'anna' }, 'root');
  assert.ok('token' in anna);
  assert.match(anna.token, /^[0-9a-f]{48}$/);
  assert.deepEqual(await rack.inventory.operators.add({ name: 'anna' }, 'root'), {
    refused: 'operator anna is there already',
  });
  await rack.restart();
  assert.equal(rack.inventory.operators.find(tokenSha256(anna.token))?.name, 'anna');
  assert.equal(rack.inventory.operators.find(tokenSha256('root token'))?.name, 'root');
  assert.ok(!JSON.stringify(rack.inventory.operators.all()).includes(anna.token));
  assert.deepEqual(
    rack.inventory.operators.all().map(({ name }) => name),
    ['anna', 'root'],
  );
  // Whoever could make a second operator would be two.
  assert.match(
    JSON.stringify(await rack.inventory.operators.add({ name: 'carl' }, 'anna')),
    /anna cannot add or remove operators, want root/,
  );
  assert.match(JSON.stringify(await rack.inventory.operators.remove('root', 'root')), /cannot remove root/);
  assert.deepEqual(await rack.inventory.operators.remove('dora', 'root'), { refused: 'there is no operator dora' });
  assert.deepEqual(await rack.inventory.operators.remove('anna', 'root'), { removed: 'anna' });
  assert.equal(rack.inventory.operators.find(tokenSha256(anna.token))?.name, undefined);
  await rack.inventory.operators.setRoot(tokenSha256('another'));
  assert.equal(rack.inventory.operators.find(tokenSha256('root token'))?.name, undefined);
  assert.equal(rack.inventory.operators.find(tokenSha256('another'))?.name, 'root');
  assert.ok((await messages(rack, 'root')).includes('has another token now'));
});

test('who was removed a moment ago asks for nothing and approves nothing', async () => {
  await using rack = await rackOfTwo();
  const asked = await rack.inventory.approvals.request(lift, { waitMs: minute });
  assert.ok('approval' in asked);
  const [, approved, wanted] = await Promise.all([
    rack.inventory.operators.remove('ben', 'root'),
    rack.inventory.approvals.approve({ id: asked.approval.id, by: 'ben', targets }),
    rack.inventory.approvals.request({ ...stop, by: 'ben' }, { waitMs: minute }),
  ]);
  assert.deepEqual(
    [approved, wanted],
    [
      { refused: 'ben is no operator who may decide this (any more)' },
      { refused: 'ben is no operator who may decide this (any more)' },
    ],
  );
  assert.equal(rack.inventory.orders.killedBy('acme'), 1);
});

test('operators are bounded', async () => {
  await using rack = await testRack();
  await rack.inventory.operators.setRoot(tokenSha256('root token'));
  const names = Array.from({ length: 1_020 }, (_, index) => `op-${index}`);
  const answers = await Promise.all(names.map((name) => rack.inventory.operators.add({ name }, 'root')));
  assert.equal(answers.filter((answer) => 'token' in answer).length, 999);
  assert.match(JSON.stringify(answers.at(-1)), /there are 1000 operators already/);
});

test('what one operator asked for waits through a restart, and is done when another approves', async () => {
  await using rack = await rackOfTwo();
  const asked = await rack.inventory.approvals.request(lift, { waitMs: 10 * minute });
  assert.ok('approval' in asked);
  const { approval } = asked;
  assert.deepEqual([approval.by, approval.expiresAt - approval.at], ['anna', 10 * minute]);
  assert.equal(rack.inventory.orders.killedBy('acme'), 1);
  await rack.restart();
  assert.deepEqual(rack.inventory.approvals.all(), [approval]);
  assert.deepEqual(await rack.inventory.approvals.approve({ id: approval.id, by: 'anna', targets }), {
    refused: `anna asked for this (approval ${approval.id}): another operator must approve it`,
  });
  assert.equal(rack.inventory.orders.killedBy('acme'), 1);
  const done = await rack.inventory.approvals.approve({ id: approval.id, by: 'ben', targets });
  assert.ok('order' in done);
  assert.deepEqual(
    [done.action, done.order.liftedBy, done.order.liftReason],
    ['lift', 'anna, approved by ben', 'sorry'],
  );
  assert.equal(rack.inventory.orders.killedBy('acme'), undefined);
  assert.deepEqual(rack.inventory.approvals.all(), []);
  assert.deepEqual(await messages(rack, `approval-${approval.id}`), [
    'anna asks for a second operator to lift the order on acme: sorry',
    'ben approves what anna asked for: lift the order on acme',
  ]);
  assert.ok((await messages(rack, '1')).includes('lifted by anna, approved by ben: sorry'));
});

test('the order counts from the approval, for the boards that are there then', async () => {
  await using rack = await rackOfTwo();
  const asked = await rack.inventory.approvals.request(stop, { waitMs: 10 * minute });
  assert.ok('approval' in asked);
  await rack.pass(minute);
  const done = await rack.inventory.approvals.approve({ id: asked.approval.id, by: 'ben', targets });
  assert.ok('order' in done);
  assert.deepEqual([done.order.at, done.order.targets], [rack.now(), targets]);
  assert.equal(done.order.by, 'anna, approved by ben');
});

test('of many who approve at once one gives the order', async () => {
  await using rack = await rackOfTwo();
  const asked = await rack.inventory.approvals.request(stop, { waitMs: 10 * minute });
  assert.ok('approval' in asked);
  const { id } = asked.approval;
  const answers = await Promise.all(
    ['ben', 'root', 'ben', 'root'].map((by) => rack.inventory.approvals.approve({ id, by, targets })),
  );
  assert.equal(answers.filter((answer) => 'order' in answer).length, 1);
  assert.match(JSON.stringify(answers.at(-1)), /approval 1 does not wait: it was approved or withdrawn/);
  assert.equal(rack.inventory.orders.all().filter(({ scope }) => scope === '*').length, 1);
});

test('an approval and a withdrawal at once: one of them holds', async () => {
  await using rack = await rackOfTwo();
  for (const first of ['approve', 'withdraw']) {
    const asked = await rack.inventory.approvals.request(lift, { waitMs: 10 * minute });
    assert.ok('approval' in asked);
    const { id } = asked.approval;
    const both = [
      async () => 'order' in (await rack.inventory.approvals.approve({ id, by: 'ben', targets })),
      async () => 'removed' in (await rack.inventory.approvals.withdraw(id, 'anna')),
    ];
    if (first === 'withdraw') both.reverse();
    assert.deepEqual(await Promise.all(both.map((each) => each())), [true, false]);
    assert.equal(rack.inventory.orders.killedBy('acme'), first === 'approve' ? undefined : 2);
    if (first === 'approve') await rack.inventory.orders.kill({ scope: 'acme', reason: 'again', by: 'anna', targets });
  }
});

test('asking again: the same operator is refused, another one has approved', async () => {
  await using rack = await rackOfTwo();
  assert.ok('approval' in (await rack.inventory.approvals.request(stop, { waitMs: 10 * minute })));
  assert.match(
    JSON.stringify(await rack.inventory.approvals.request(stop, { waitMs: 10 * minute })),
    /anna asked for this.*another operator must/,
  );
  assert.equal(rack.inventory.approvals.all().length, 1);
  const done = await rack.inventory.approvals.request({ ...stop, by: 'ben', targets }, { waitMs: 10 * minute });
  assert.ok('order' in done);
  assert.equal(done.order.by, 'anna, approved by ben');
});

test('it expires by the clock, leaves the screens, and can be asked for again', async () => {
  await using rack = await rackOfTwo();
  const asked = await rack.inventory.approvals.request(lift, { waitMs: 10 * minute });
  assert.ok('approval' in asked);
  const { id } = asked.approval;
  const told: Change[] = [];
  rack.inventory.subscribe((change) => void told.push(change));
  await rack.pass(10 * minute - 1);
  await rack.inventory.approvals.expire();
  assert.equal(rack.inventory.approvals.all().length, 1);
  await rack.pass(1);
  // Refused from that moment on, also before anybody has cleaned up.
  assert.deepEqual(rack.inventory.approvals.all(), []);
  assert.match(JSON.stringify(await rack.inventory.approvals.approve({ id, by: 'ben', targets })), /does not wait/);
  assert.match(JSON.stringify(await rack.inventory.approvals.withdraw(id, 'ben')), /does not wait/);
  await rack.inventory.approvals.expire();
  assert.deepEqual(
    told.filter(({ kind }) => kind === 'approval'),
    [{ kind: 'approval', id, removed: true }],
  );
  assert.ok('approval' in (await rack.inventory.approvals.request(lift, { waitMs: 10 * minute })));
});

test('what could not be done is refused at once, and where nobody could approve it', async () => {
  await using rack = await rackOfTwo();
  assert.match(
    JSON.stringify(await rack.inventory.approvals.request({ ...lift, scope: 'nobody' }, { waitMs: minute })),
    /there is no customer nobody/,
  );
  assert.match(
    JSON.stringify(await rack.inventory.approvals.request({ ...lift, scope: 'bolt' }, { waitMs: minute })),
    /no order stops bolt/,
  );
  await rack.inventory.operators.remove('ben', 'root');
  await rack.inventory.operators.remove('anna', 'root');
  assert.match(
    JSON.stringify(await rack.inventory.approvals.request({ ...stop, by: 'root' }, { waitMs: minute })),
    /stop everything needs two operators and there is only root: muster operator add NAME/,
  );
  assert.deepEqual(rack.inventory.approvals.all(), []);
});

test('the audit log has who asked, who approved, what was dropped, and who became an operator', async () => {
  await using rack = await rackOfTwo();
  const first = await rack.inventory.approvals.request(lift, { waitMs: 10 * minute });
  const second = await rack.inventory.approvals.request(stop, { waitMs: 10 * minute });
  assert.ok('approval' in first && 'approval' in second);
  await rack.inventory.approvals.approve({ id: first.approval.id, by: 'anna', targets });
  await rack.inventory.approvals.approve({ id: first.approval.id, by: 'ben', targets });
  await rack.inventory.approvals.withdraw(second.approval.id, 'root');
  const verdict = await rack.inventory.audit.verify();
  assert.deepEqual(verdict.problems, []);
  const entries = (await rack.inventory.audit.entries({ limit: 100 })).filter(({ kind }) => kind === 'approval');
  assert.deepEqual(
    entries.map(({ subject, body }) => [subject, body]),
    [
      ['operator anna', '{"step":"added","by":"root","role":"operator","customer":null,"expiresAt":null}'],
      ['operator ben', '{"step":"added","by":"root","role":"operator","customer":null,"expiresAt":null}'],
      [
        'approval-1',
        `{"step":"asked","action":"lift","scope":"acme","reason":"sorry","by":"anna","expiresAt":${first.approval.expiresAt}}`,
      ],
      [
        'approval-2',
        `{"step":"asked","action":"kill","scope":"*","reason":"fire","by":"anna","expiresAt":${second.approval.expiresAt}}`,
      ],
      ['approval-1', '{"step":"approved","action":"lift","scope":"acme","by":"ben","order":1}'],
      ['approval-2', '{"step":"dropped","why":"withdrawn by root"}'],
    ],
  );
});

test('what a removed operator asked for is withdrawn', async () => {
  await using rack = await rackOfTwo();
  assert.ok('approval' in (await rack.inventory.approvals.request(lift, { waitMs: minute })));
  await rack.inventory.operators.remove('anna', 'root');
  assert.deepEqual(rack.inventory.approvals.all(), []);
});

test('what became impossible while it waited is refused, and waits no longer', async () => {
  await using rack = await rackOfTwo();
  const asked = await rack.inventory.approvals.request(lift, { waitMs: 10 * minute });
  assert.ok('approval' in asked);
  await rack.inventory.orders.lift({ scope: 'acme', reason: '', by: 'drill' });
  assert.deepEqual(await rack.inventory.approvals.approve({ id: asked.approval.id, by: 'ben', targets }), {
    refused: 'no order stops acme',
  });
  assert.deepEqual(rack.inventory.approvals.all(), []);
});

test('who only reads, deploys or stops is no second person for a lift, nor one whose time is over', async () => {
  await using rack = await testRack();
  const { operators, approvals, customers, orders } = rack.inventory;
  await operators.setRoot(tokenSha256('root token'));
  await customers.add({ name: 'acme' });
  await orders.kill({ scope: 'acme', reason: 'spam', by: 'root', targets: [] });
  const end = rack.now() + minute;
  await operators.add({ name: 'viewer', role: 'viewer' }, 'root');
  await operators.add({ name: 'deployer', role: 'deployer', customer: 'acme' }, 'root');
  await operators.add({ name: 'stopper', role: 'stopper' }, 'root');
  await operators.add({ name: 'anna', expiresAt: end }, 'root');
  const asked = await approvals.request({ ...lift, by: 'root' }, { waitMs: 10 * minute });
  assert.ok('approval' in asked, JSON.stringify(asked));
  const { id } = asked.approval;
  for (const by of ['viewer', 'deployer', 'stopper'])
    assert.deepEqual(await approvals.approve({ id, by, targets }), {
      refused: `${by} is no operator who may decide this (any more)`,
    });
  await rack.pass(minute);
  assert.match(JSON.stringify(await approvals.approve({ id, by: 'anna', targets })), /anna is no operator who may/);
  await approvals.withdraw(id, 'root');
  assert.match(
    JSON.stringify(await approvals.request({ ...lift, by: 'root' }, { waitMs: minute })),
    /needs two operators and there is only root/,
  );
  // To stop everything a stopper is one of two.
  const fire = await approvals.request({ ...stop, by: 'root' }, { waitMs: minute });
  assert.ok('approval' in fire, JSON.stringify(fire));
  assert.ok('order' in (await approvals.approve({ id: fire.approval.id, by: 'stopper', targets })));
});
