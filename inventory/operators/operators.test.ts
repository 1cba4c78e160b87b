import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change } from '../inventory.ts';
import { tokenSha256, type Wish } from './operators.ts';
import { macOf, testRack, type TestRack } from '../rack.fixture.ts';

const minute = 60_000;

/** `root`, `anna`, `ben`; one board; a customer that an order stops. */
async function rackOfTwo(): Promise<TestRack> {
  const rack = await testRack();
  const { people } = rack.inventory;
  await people.setRoot(tokenSha256('root token'));
  for (const name of ['anna', 'ben']) assert.ok('token' in (await people.add(name, 'root')));
  await rack.ready(macOf(1));
  for (const name of ['acme', 'bolt']) await rack.inventory.addCustomer({ name });
  await rack.inventory.kill('acme', 'spam', 'anna', [macOf(1)]);
  return rack;
}

const stop: Wish = { action: 'kill', scope: '*', reason: 'fire', by: 'anna', targets: [] };
const lift: Wish = { action: 'lift', scope: 'acme', reason: 'sorry', by: 'anna', targets: [] };
const targets = [macOf(1)];

async function messages(rack: TestRack, subject: string): Promise<string[]> {
  return (await rack.inventory.events({ limit: 100, subject })).map(({ message }) => message);
}

test('operators: a token is shown once, kept as a hash, and works until its operator is removed', async () => {
  await using rack = await testRack();
  await rack.inventory.people.setRoot(tokenSha256('root token'));
  const anna = await rack.inventory.people.add('anna', 'root');
  assert.ok('token' in anna);
  assert.match(anna.token, /^[0-9a-f]{48}$/);
  assert.deepEqual(await rack.inventory.people.add('anna', 'root'), { refused: 'operator anna is there already' });
  await rack.restart();
  const { people } = rack.inventory;
  assert.equal(people.nameOf(tokenSha256(anna.token)), 'anna');
  assert.equal(people.nameOf(tokenSha256('root token')), 'root');
  assert.ok(!JSON.stringify(people.operators()).includes(anna.token));
  assert.deepEqual(
    people.operators().map(({ name }) => name),
    ['anna', 'root'],
  );
  // Whoever could make a second operator would be two.
  assert.match(JSON.stringify(await people.add('carl', 'anna')), /anna cannot add or remove operators, want root/);
  assert.match(JSON.stringify(await people.remove('root', 'root')), /cannot remove root/);
  assert.deepEqual(await people.remove('dora', 'root'), { refused: 'there is no operator dora' });
  assert.deepEqual(await people.remove('anna', 'root'), { removed: 'anna' });
  assert.equal(people.nameOf(tokenSha256(anna.token)), undefined);
  await people.setRoot(tokenSha256('another'));
  assert.equal(people.nameOf(tokenSha256('root token')), undefined);
  assert.equal(people.nameOf(tokenSha256('another')), 'root');
  assert.ok((await messages(rack, 'root')).includes('has another token now'));
});

test('who was removed a moment ago asks for nothing and confirms nothing', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  const asked = await people.ask(lift, minute);
  assert.ok('approval' in asked);
  const [, confirmed, wanted] = await Promise.all([
    people.remove('ben', 'root'),
    people.confirm(asked.approval.id, 'ben', targets),
    people.ask({ ...stop, by: 'ben' }, minute),
  ]);
  assert.deepEqual(
    [confirmed, wanted],
    [{ refused: 'ben is no operator (any more)' }, { refused: 'ben is no operator (any more)' }],
  );
  assert.equal(rack.inventory.killedBy('acme'), 1);
});

test('operators are bounded', async () => {
  await using rack = await testRack();
  await rack.inventory.people.setRoot(tokenSha256('root token'));
  const names = Array.from({ length: 120 }, (_, index) => `op-${index}`);
  const answers = await Promise.all(names.map((name) => rack.inventory.people.add(name, 'root')));
  assert.equal(answers.filter((answer) => 'token' in answer).length, 99);
  assert.match(JSON.stringify(answers.at(-1)), /there are 100 operators already/);
});

test('what one operator asked for waits through a restart, and is carried out when another confirms', async () => {
  await using rack = await rackOfTwo();
  const asked = await rack.inventory.people.ask(lift, 10 * minute);
  assert.ok('approval' in asked);
  const { approval } = asked;
  assert.deepEqual([approval.by, approval.expiresAt - approval.at], ['anna', 10 * minute]);
  assert.equal(rack.inventory.killedBy('acme'), 1);
  await rack.restart();
  const { people } = rack.inventory;
  assert.deepEqual(people.approvals(), [approval]);
  assert.deepEqual(await people.confirm(approval.id, 'anna', targets), {
    refused: `anna asked for this (approval ${approval.id}): another operator must confirm it`,
  });
  assert.equal(rack.inventory.killedBy('acme'), 1);
  const done = await people.confirm(approval.id, 'ben', targets);
  assert.ok('order' in done);
  assert.deepEqual(
    [done.action, done.order.liftedBy, done.order.liftReason],
    ['lift', 'anna, confirmed by ben', 'sorry'],
  );
  assert.equal(rack.inventory.killedBy('acme'), undefined);
  assert.deepEqual(people.approvals(), []);
  assert.deepEqual(await messages(rack, `approval-${approval.id}`), [
    'anna asks for a second operator to lift the order on acme: sorry',
    'ben confirms what anna asked for: lift the order on acme',
  ]);
  assert.ok((await messages(rack, '1')).includes('lifted by anna, confirmed by ben: sorry'));
});

test('the order counts from the confirmation, for the boards that are there then', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  const asked = await people.ask(stop, 10 * minute);
  assert.ok('approval' in asked);
  await rack.pass(minute);
  const done = await people.confirm(asked.approval.id, 'ben', targets);
  assert.ok('order' in done);
  assert.deepEqual([done.order.at, done.order.targets], [rack.now(), targets]);
  assert.equal(done.order.by, 'anna, confirmed by ben');
});

test('of many who confirm at once one carries it out', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  const asked = await people.ask(stop, 10 * minute);
  assert.ok('approval' in asked);
  const { id } = asked.approval;
  const answers = await Promise.all(['ben', 'root', 'ben', 'root'].map((by) => people.confirm(id, by, targets)));
  assert.equal(answers.filter((answer) => 'order' in answer).length, 1);
  assert.match(JSON.stringify(answers.at(-1)), /approval 1 does not wait: it was confirmed or withdrawn/);
  assert.equal(rack.inventory.orders().filter(({ scope }) => scope === '*').length, 1);
});

test('a confirmation and a withdrawal at once: one of them holds', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  for (const first of ['confirm', 'withdraw']) {
    const asked = await people.ask(lift, 10 * minute);
    assert.ok('approval' in asked);
    const { id } = asked.approval;
    const both = [
      async () => 'order' in (await people.confirm(id, 'ben', targets)),
      async () => 'removed' in (await people.withdraw(id, 'anna')),
    ];
    if (first === 'withdraw') both.reverse();
    assert.deepEqual(await Promise.all(both.map((each) => each())), [true, false]);
    assert.equal(rack.inventory.killedBy('acme'), first === 'confirm' ? undefined : 2);
    if (first === 'confirm') await rack.inventory.kill('acme', 'again', 'anna', targets);
  }
});

test('asking again: the same operator is refused, another one has confirmed', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  assert.ok('approval' in (await people.ask(stop, 10 * minute)));
  assert.match(JSON.stringify(await people.ask(stop, 10 * minute)), /anna asked for this.*another operator must/);
  assert.equal(people.approvals().length, 1);
  const done = await people.ask({ ...stop, by: 'ben', targets }, 10 * minute);
  assert.ok('order' in done);
  assert.equal(done.order.by, 'anna, confirmed by ben');
});

test('it expires by the clock, leaves the screens, and can be asked for again', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  const asked = await people.ask(lift, 10 * minute);
  assert.ok('approval' in asked);
  const { id } = asked.approval;
  const told: Change[] = [];
  rack.inventory.subscribe((change) => void told.push(change));
  await rack.pass(10 * minute - 1);
  await people.expire();
  assert.equal(people.approvals().length, 1);
  await rack.pass(1);
  // Refused from that moment on, also before anybody has cleaned up.
  assert.deepEqual(people.approvals(), []);
  assert.match(JSON.stringify(await people.confirm(id, 'ben', targets)), /does not wait/);
  assert.match(JSON.stringify(await people.withdraw(id, 'ben')), /does not wait/);
  await people.expire();
  assert.deepEqual(
    told.filter(({ kind }) => kind === 'approval'),
    [{ kind: 'approval', id, removed: true }],
  );
  assert.ok('approval' in (await people.ask(lift, 10 * minute)));
});

test('what could not be carried out is refused at once, and where nobody could confirm it', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  assert.match(JSON.stringify(await people.ask({ ...lift, scope: 'nobody' }, minute)), /there is no customer nobody/);
  assert.match(JSON.stringify(await people.ask({ ...lift, scope: 'bolt' }, minute)), /no order stops bolt/);
  await people.remove('ben', 'root');
  await people.remove('anna', 'root');
  assert.match(
    JSON.stringify(await people.ask({ ...stop, by: 'root' }, minute)),
    /stop everything needs two operators and there is only root: muster operator add NAME/,
  );
  assert.deepEqual(people.approvals(), []);
});

test('the audit log has who asked, who confirmed, what was dropped, and who became an operator', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  const first = await people.ask(lift, 10 * minute);
  const second = await people.ask(stop, 10 * minute);
  assert.ok('approval' in first && 'approval' in second);
  await people.confirm(first.approval.id, 'anna', targets);
  await people.confirm(first.approval.id, 'ben', targets);
  await people.withdraw(second.approval.id, 'root');
  const verdict = await rack.inventory.verifyAudit();
  assert.deepEqual(verdict.problems, []);
  const entries = (await rack.inventory.auditEntries({ limit: 100 })).filter(({ kind }) => kind === 'approval');
  assert.deepEqual(
    entries.map(({ subject, body }) => [subject, body]),
    [
      ['operator anna', '{"step":"added","by":"root"}'],
      ['operator ben', '{"step":"added","by":"root"}'],
      [
        'approval-1',
        `{"step":"asked","action":"lift","scope":"acme","reason":"sorry","by":"anna","expiresAt":${first.approval.expiresAt}}`,
      ],
      [
        'approval-2',
        `{"step":"asked","action":"kill","scope":"*","reason":"fire","by":"anna","expiresAt":${second.approval.expiresAt}}`,
      ],
      ['approval-1', '{"step":"confirmed","action":"lift","scope":"acme","by":"ben","order":1}'],
      ['approval-2', '{"step":"dropped","why":"withdrawn by root"}'],
    ],
  );
});

test('what a removed operator asked for is withdrawn', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  assert.ok('approval' in (await people.ask(lift, minute)));
  await people.remove('anna', 'root');
  assert.deepEqual(people.approvals(), []);
});

test('what became impossible while it waited is refused, and waits no longer', async () => {
  await using rack = await rackOfTwo();
  const { people } = rack.inventory;
  const asked = await people.ask(lift, 10 * minute);
  assert.ok('approval' in asked);
  await rack.inventory.lift('acme', '', 'drill');
  assert.deepEqual(await people.confirm(asked.approval.id, 'ben', targets), { refused: 'no order stops acme' });
  assert.deepEqual(people.approvals(), []);
});
