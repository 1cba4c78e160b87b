// Roles on the command line, against the operators' API of a real controller.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controller } from '../workloads/controller.fixture.ts';

test('operator add: a role, a customer and an end; its token does what the role may and says what it may not', async (t) => {
  const { muster, run, url, inventory } = await controller(t);
  await inventory.customers.add({ name: 'bolt' });
  for (const [line, said] of [
    ['operator add x --role king', /--role is "king", want viewer, deployer, stopper, operator/],
    ['operator add x --role deployer', /--customer goes with --role deployer, and a deployer wants it/],
    ['operator add x --customer acme', /--customer goes with --role deployer/],
    ['operator add x --expires soon', /--expires is "soon", want a duration/],
  ] as const) {
    const { code, err } = await muster(...line.split(' '));
    assert.equal(code, 2);
    assert.match(err, said);
  }
  const added = await muster(...'operator add ci --role deployer --customer acme --expires 90d --json'.split(' '));
  const { token } = JSON.parse(added.out);
  assert.match(
    (await muster('operator', 'add', 'eye', '--role', 'viewer')).out,
    /^viewer eye is there; this token is shown only now:\n[0-9a-f]{48}\n$/,
  );
  assert.match((await muster('operators')).out, /\nci +deployer of acme +in 90 d +\S+ \S+\neye +viewer +never +/);

  const ci = (line: string) => run(line.split(' '), { variables: { url, token } });
  assert.equal((await ci('deploy acme/web --image web --no-wait')).code, 0);
  assert.match((await ci('export acme')).out, /image: web\n/);
  assert.equal((await ci('ps')).code, 0);
  assert.match(
    (await ci('deploy bolt/web --image web --no-wait')).err,
    /ci is a deployer of acme and may not ask about bolt/,
  );
  assert.match(
    (await ci('nodes')).err,
    /ci is a deployer and may not GET \/v1\/nodes: want a token with the role viewer or/,
  );
  assert.match((await ci('kill acme --reason x')).err, /want a token with the role stopper or operator or root/);
  await muster('operator', 'remove', 'ci');
  assert.match((await ci('ps')).err, /does not know the token from \$MUSTER_TOKEN/);
});
