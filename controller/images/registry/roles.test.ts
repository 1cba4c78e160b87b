// Whose token pushes and pulls what.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { registryPlace } from './registry.fixture.ts';

test('a deployer pushes to its customer, and to nobody else; who only reads pulls', async () => {
  await using place = await registryPlace();
  const { operators } = place.rack.inventory;
  const tokenOf = async (spec: Parameters<typeof operators.add>[0]) => {
    const added = await operators.add(spec, 'root');
    assert.ok('token' in added, JSON.stringify(added));
    return added.token;
  };
  const deployer = await tokenOf({ name: 'ci', role: 'deployer', customer: 'acme' });
  const viewer = await tokenOf({ name: 'eye', role: 'viewer' });
  const stopper = await tokenOf({ name: 'guard', role: 'stopper' });
  const blob = Buffer.from('a layer');
  const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
  for (const repository of ['acme/web', 'bolt/web', 'web']) await place.pushBlob(repository, blob);
  const read = (repository: string) => `GET /v2/${repository}/blobs/${digest}`;
  const push = (repository: string) => `POST /v2/${repository}/blobs/uploads/`;
  const table: [token: string, route: string, status: number][] = [
    [deployer, 'GET /v2/', 200],
    [deployer, read('acme/web'), 200],
    [deployer, read('web'), 200],
    [deployer, read('bolt/web'), 403],
    [deployer, push('acme/web'), 202],
    [deployer, push('web'), 403],
    [deployer, push('bolt/web'), 403],
    [deployer, push('acmeother/web'), 403],
    [deployer, `${push('acme/web')}?mount=${digest}&from=bolt/web`, 403],
    [deployer, `${push('acme/web')}?mount=${digest}&from=web`, 201],
    [deployer, 'DELETE /v2/bolt/web/manifests/1', 403],
    [viewer, read('bolt/web'), 200],
    [viewer, push('acme/web'), 403],
    [stopper, push('acme/web'), 403],
    ['wrong', read('web'), 401],
  ];
  for (const [token, route, status] of table) assert.equal((await place.ask(route, { token })).status, status, route);
  const refused = await place.ask(push('bolt/web'), { token: deployer });
  assert.match(
    refused.body.toString(),
    /ci is a deployer of acme, and may push what begins with acme\/, and not bolt\/web/,
  );
});
