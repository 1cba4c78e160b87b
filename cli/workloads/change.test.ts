// What was wanted before, and again, against the operators' API of a real controller.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controller } from './controller.fixture.ts';

test('history, rollback, restart, stop and start', async (t) => {
  const { muster, spec } = await controller(t);
  const run = async (line: string) => {
    const { code, out, err } = await muster(...line.split(' '));
    assert.equal(code, 0, `${line}: ${err}`);
    return out;
  };
  await run('deploy acme/web --image web --replicas 3 --no-wait');
  assert.match((await muster('rollback', 'acme/web')).err, /cannot roll acme\/web back: it was never wanted otherwise/);
  await run('set acme/web --image web2 --env A=secret --no-wait');
  const history = await run('history acme/web');
  assert.match(
    history,
    /^REVISION +NOW +AT \(UTC\) +BY +IMAGE +CHANGED\n +2 +wanted +.* root +web2 \(.*image web → web2, variable A set\n +1 /,
  );
  assert.ok(!history.includes('secret'));

  assert.match(
    await run('rollback acme/web --no-wait'),
    /^acme\/web: back to revision 1, image web2 → web, variable A removed;/,
  );
  assert.deepEqual(spec(), { image: 'web', replicas: 3 });
  const json = JSON.parse(await run('rollback acme/web --to 2 --no-wait --json'));
  assert.deepEqual([json.image, json.revision, json.changes[0]], ['web2', 4, 'back to revision 2']);
  const { revisions } = JSON.parse(await run('history acme/web --json'));
  assert.deepEqual(
    revisions.map(({ revision, current }: { revision: number; current: boolean }) => [revision, current]),
    [
      [4, true],
      [3, false],
      [2, false],
      [1, false],
    ],
  );

  assert.match(
    await run('stop acme/web --no-wait'),
    /^acme\/web: stopped; the rest stays\nacme\/web is stored: none of 3 until/,
  );
  assert.match(await run('stop acme/web'), /wanted like that already\nacme\/web is stopped, and none of it runs/);
  assert.match((await muster('restart', 'acme/web')).err, /cannot restart acme\/web: it is stopped, start it/);
  assert.match(await run('scale acme/web=5 --no-wait'), /replicas 3 → 5/);
  assert.deepEqual(spec(), { image: 'web2', replicas: 5, env: { A: 'secret' }, stopped: true });
  assert.match(await run('start acme/web --no-wait'), /^acme\/web: started;.*\nacme\/web is stored: 5 of web2 wanted/);
  assert.match(await run('restart acme/web --no-wait'), /^acme\/web: restarted;/);
  for (const [line, said] of [
    ['rollback acme/web --to 9', /cannot roll acme\/web back to revision 9: want one that is kept, 1, 2, 3, 4/],
    ['history acme/none', /there is no workload acme\/none/],
    ['rollback acme/web --to x', /"x" is not a revision, want a whole number from 1 \(muster history lists them\)/],
  ] as const)
    assert.match((await muster(...line.split(' '))).err, said);
});
