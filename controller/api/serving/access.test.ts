// Roles, over HTTP against a real inventory: every route of the API, and what a customer's token sees of others.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { OperatorSpec } from '../../../protocol/api/operators.ts';
import { rolesOf, type Route } from '../../../protocol/api/route.ts';
import { macOf, placeWeb, testImage, testRack } from '../../../inventory/rack.fixture.ts';
import { everyRoute } from '../openapi/openapi.ts';
import { idleRollCall, openOperatorApi } from '../operator-api.fixture.ts';

const hour = 3_600_000;

async function rackOfRoles(t: TestContext) {
  const rack = await testRack();
  const { inventory } = rack;
  const api = await openOperatorApi({ inventory, rollCall: idleRollCall(), directory: join(rack.directory, 'images') });
  t.after(async () => {
    await api[Symbol.asyncDispose]();
    await rack[Symbol.asyncDispose]();
  });
  await api.app.ready();
  await rack.ready(macOf(1));
  for (const customer of ['acme', 'bolt']) await placeWeb(inventory, { customer, nodes: [macOf(1)] });
  await inventory.images.save(testImage('bolt/secret'));
  await inventory.images.save(testImage('library/nginx'));
  const tokens = new Map([['root', 'secret']]);
  const add = async (spec: OperatorSpec) => {
    const added = await inventory.operators.add(spec, 'root');
    assert.ok('token' in added, JSON.stringify(added));
    tokens.set(spec.name, added.token);
  };
  for (const role of ['viewer', 'stopper', 'operator'] as const) await add({ name: role, role });
  await add({ name: 'deployer', role: 'deployer', customer: 'acme' });
  // oxlint-disable-next-line max-params -- who, what, and with what
  const ask = async (by: string, route: string, body?: object) => {
    const token = tokens.get(by);
    assert.ok(token !== undefined);
    return api.ask(route, { token, body });
  };
  return { rack, inventory, ask, add, tokens };
}

/** A path of the route that is about acme, and a thing that is not there where it names one. */
function exampleOf({ method, path }: Route): string {
  const names: Record<string, string> = {
    customer: 'acme',
    name: 'none',
    operator: 'none',
    node: 'none',
    sha256: 'a'.repeat(64),
  };
  return `${method} ${path.replaceAll(/:(\w+)/g, (_, name: string) => names[name] ?? '999')}`;
}

test('each route takes the tokens of its roles and no others', async (t) => {
  const { ask } = await rackOfRoles(t);
  const own = Object.values(everyRoute).filter(({ security }) => security === 'operator');
  assert.ok(own.length > 40, String(own.length));
  for (const route of own) {
    // It goes on for ever, and drills and backups are registered by the controller beside this.
    if (/stream|drill|backup/.test(route.path)) continue;
    for (const role of ['viewer', 'stopper', 'operator', 'deployer'] as const) {
      if (rolesOf(route).includes(role)) continue;
      const { status, body } = await ask(role, exampleOf(route));
      assert.equal(status, 403, `${role} ${exampleOf(route)} ${JSON.stringify(body)}`);
    }
    const [allowed] = rolesOf(route);
    assert.ok(allowed !== undefined);
    const { status } = await ask(allowed, exampleOf(route));
    assert.notEqual(status, 403, `${allowed} ${exampleOf(route)}`);
  }
});

test('a deployer sees and changes what its customer has, and cannot tell what others have', async (t) => {
  const { ask, inventory } = await rackOfRoles(t);
  const names = async (route: string, key: string) => {
    const { body } = await ask('deployer', route);
    assert.ok(typeof body === 'object' && body !== null);
    const list: unknown = Reflect.get(body, key);
    assert.ok(Array.isArray(list), JSON.stringify(body));
    return list.map((each: { customer?: string; name: string }) => each.customer ?? each.name);
  };
  assert.deepEqual(await names('GET /v1/customers', 'customers'), ['acme']);
  assert.deepEqual(await names('GET /v1/workloads', 'workloads'), ['acme']);
  assert.deepEqual(await names('GET /v1/instances', 'instances'), ['acme']);
  assert.deepEqual(await names('GET /v1/instances?customer=acme', 'instances'), ['acme']);
  assert.deepEqual((await names('GET /v1/images', 'images')).toSorted(), ['acme', 'bolt', 'library/nginx']);

  const spec = { image: 'acme', replicas: 1, env: { A: 'x' } };
  assert.equal((await ask('deployer', 'PUT /v1/workloads/acme/job', spec)).status, 200);
  assert.equal((await ask('deployer', 'PATCH /v1/workloads/acme/job', { replicas: 2 })).status, 200);
  assert.deepEqual((await ask('deployer', 'GET /v1/workloads/acme/job/spec')).body, { ...spec, replicas: 2 });
  assert.equal((await ask('viewer', 'GET /v1/workloads/acme/job/spec')).status, 403);
  assert.equal((await ask('deployer', 'POST /v1/workloads/acme/job/restart')).status, 200);
  assert.equal((await ask('deployer', 'DELETE /v1/workloads/acme/job')).status, 200);
  for (const customer of ['bolt', 'nobody'])
    for (const [route, body] of [
      [`GET /v1/customers/${customer}`],
      [`GET /v1/workloads/${customer}/web`],
      [`GET /v1/workloads/${customer}/web/spec`],
      [`GET /v1/workloads/${customer}/web/logs`],
      [`GET /v1/workloads/${customer}/web/history`],
      [`GET /v1/instances?customer=${customer}`],
      [`PUT /v1/workloads/${customer}/web`, spec],
      [`PATCH /v1/workloads/${customer}/web`, { replicas: 0 }],
      [`POST /v1/workloads/${customer}/web/rollback`, {}],
      [`DELETE /v1/workloads/${customer}/web`],
    ] as const) {
      const { status, body: said } = await ask('deployer', route, body);
      assert.equal(status, 403, route);
      assert.match(
        JSON.stringify(said),
        new RegExp(`deployer is a deployer of acme and may not ask about ${customer}`),
      );
    }
  assert.equal(inventory.workloads.get('bolt', 'web')?.spec.replicas, 1);
  const stolen = await ask('deployer', 'PUT /v1/workloads/acme/thief', { image: 'bolt/secret', replicas: 1 });
  assert.equal(stolen.status, 403);
  assert.match(JSON.stringify(stolen.body), /may not use bolt\/secret, which is of bolt/);
  assert.equal((await ask('deployer', 'PATCH /v1/workloads/acme/web', { image: 'bolt/secret' })).status, 403);
  assert.equal((await ask('operator', 'PATCH /v1/workloads/acme/web', { image: 'bolt/secret' })).status, 200);
  assert.deepEqual((await ask('deployer', 'GET /v1/whoami')).body, {
    name: 'deployer',
    role: 'deployer',
    customer: 'acme',
    expiresAt: null,
    twoPersonRule: false,
  });
});

test('a stopper stops, and lifts nothing', async (t) => {
  const { ask } = await rackOfRoles(t);
  const order = { customer: 'acme', reason: 'fire' };
  assert.equal((await ask('viewer', 'POST /v1/kill', order)).status, 403);
  assert.equal((await ask('deployer', 'POST /v1/kill', order)).status, 403);
  assert.equal((await ask('stopper', 'POST /v1/kill', order)).status, 201);
  assert.equal((await ask('stopper', 'POST /v1/lift', { customer: 'acme' })).status, 403);
  assert.equal((await ask('stopper', 'PATCH /v1/workloads/acme/web', { replicas: 0 })).status, 403);
  assert.equal((await ask('operator', 'POST /v1/lift', { customer: 'acme' })).status, 200);
});

test('a token ends when its time is over, and a customer stays while it has deployers', async (t) => {
  const { ask, add, rack, inventory } = await rackOfRoles(t);
  await add({ name: 'guest', role: 'viewer', expiresAt: rack.now() + hour });
  assert.equal((await ask('guest', 'GET /v1/nodes')).status, 200);
  await rack.pass(hour);
  const over = await ask('guest', 'GET /v1/nodes');
  assert.equal(over.status, 401);
  assert.match(JSON.stringify(over.body), /or its time is over/);
  for (const [spec, said] of [
    [{ name: 'a', role: 'deployer' }, /a deployer deploys for one customer/],
    [{ name: 'a', role: 'viewer', customer: 'acme' }, /a viewer is of no customer/],
    [{ name: 'a', role: 'deployer', customer: 'none' }, /there is no customer none/],
    [{ name: 'a', expiresAt: 1 }, /its token would be over already/],
  ] as const) {
    const { status, body } = await ask('root', 'POST /v1/operators', spec);
    assert.equal(status, 409);
    assert.match(JSON.stringify(body), said);
  }
  assert.equal((await ask('operator', 'POST /v1/operators', { name: 'a' })).status, 403);
  await inventory.workloads.remove({ customer: 'acme', name: 'web' });
  assert.match(
    JSON.stringify(await inventory.customers.remove('acme')),
    /acme has the deployers deployer: remove them first/,
  );
  assert.equal((await ask('root', 'DELETE /v1/operators/deployer')).status, 200);
  assert.equal((await ask('deployer', 'GET /v1/whoami')).status, 401);
  assert.deepEqual(await inventory.customers.remove('acme'), { removed: 'acme' });
  const told = (await inventory.audit.entries({ limit: 100 })).map(({ subject, body }) => `${subject} ${body}`);
  assert.ok(
    told.some((each) => /^operator deployer .*"added","by":"root","role":"deployer","customer":"acme"/.test(each)),
  );
});
