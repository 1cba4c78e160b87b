// `muster deploy` against the operators' API of a real controller, over a real inventory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testImage } from '../../inventory/rack.fixture.ts';
import { controller } from './controller.fixture.ts';

test('deploy: what a command does not name stays; what changes is shown', async (t) => {
  const { muster, spec } = await controller(t);
  const deploy = (...options: string[]) => muster('deploy', 'acme/web', '--no-wait', ...options);
  const none = await deploy('--replicas', '2');
  assert.deepEqual([none.code, none.out], [2, '']);
  assert.match(none.err, /acme\/web is not there yet: want --image NAME for a new one/);

  const first = await deploy(
    '--image',
    'web',
    '--replicas',
    '3',
    '--port',
    '8080',
    '--env',
    'A=1',
    '--env',
    'B=2',
    '--',
    'run',
  );
  assert.equal(first.code, 0, first.err);
  const whole = { image: 'web', replicas: 3, port: 8080, env: { A: '1', B: '2' }, command: ['run'] };
  assert.deepEqual(spec(), whole);

  const table: [options: string[], said: RegExp, after: object][] = [
    [['--image', 'web2'], /^acme\/web: image web → web2; the rest stays\n/, { ...whole, image: 'web2' }],
    [['--image', 'web', '--memory', '32M'], /image web2 → web, memory 64M → 32M;/, { ...whole, memoryBytes: 2 ** 25 }],
    [
      ['--env', 'A=x', '--no-env', 'B'],
      /: variable A set, variable B removed;/,
      { ...whole, memoryBytes: 2 ** 25, env: { A: 'x' } },
    ],
    [
      ['--no-port', '--no-command'],
      /: command run removed, port 8080 removed;/,
      { image: 'web', replicas: 3, memoryBytes: 2 ** 25, env: { A: 'x' } },
    ],
    [['--replicas', '1'], /: replicas 3 → 1;/, { image: 'web', replicas: 1, memoryBytes: 2 ** 25, env: { A: 'x' } }],
    [
      [],
      /^acme\/web is wanted like that already\n/,
      { image: 'web', replicas: 1, memoryBytes: 2 ** 25, env: { A: 'x' } },
    ],
    [['--port', '1'], /: port 1;/, { image: 'web', replicas: 1, memoryBytes: 2 ** 25, env: { A: 'x' }, port: 1 }],
  ];
  for (const [options, said, after] of table) {
    const { code, out, err } = await deploy(...options);
    assert.equal(code, 0, err);
    assert.match(out, said, options.join(' '));
    assert.deepEqual(spec(), after, options.join(' '));
  }
  const json = await deploy('--replicas', '2', '--json');
  assert.deepEqual([JSON.parse(json.out).replicas, json.err], [2, '']);
});

test('deploy: a contradiction is refused, and a variable that is not there is not called removed', async (t) => {
  const { muster, spec } = await controller(t);
  const deploy = (...options: string[]) => muster('deploy', 'acme/web', '--no-wait', ...options);
  await deploy('--image', 'web', '--env', 'A=1');
  const before = spec();
  for (const [options, said] of [
    [['--port', '80', '--no-port'], /want --port or --no-port, and not both \(see muster deploy --help\)/],
    [['--no-port', '--port=80'], /want --port or --no-port/],
    [['--command', 'x', '--no-command'], /want --command or --no-command/],
    [['--wait'], /want --wait or --no-wait/],
    [['--env', 'A=2', '--no-env', 'A'], /want one of --env A=… and --no-env A/],
  ] as const) {
    const { code, err } = await deploy(...options);
    assert.equal(code, 2, err);
    assert.match(err, said);
  }
  assert.deepEqual(spec(), before);
  const none = await deploy('--no-env', 'NOPE');
  assert.deepEqual([none.code, none.out.split('\n')[0]], [0, 'acme/web: there is no variable NOPE; the rest stays']);
  assert.match((await deploy('--env', 'B=1', '--no-env', 'A')).out, /: variable B set, variable A removed;/);
});

test('deploy: checks are named one by one, and the others stay', async (t) => {
  const { muster, spec } = await controller(t);
  const deploy = (...options: string[]) => muster('deploy', 'acme/web', '--no-wait', ...options);
  await deploy('--image', 'web', '--port', '80', '--check', 'live=tcp', '--check', 'ready=http:/healthz');
  assert.deepEqual(spec()?.checks, { live: { tcp: {} }, ready: { http: { path: '/healthz' } } });
  const changed = await deploy('--no-check', 'live', '--check', 'ready=http:/up');
  assert.deepEqual(spec()?.checks, { ready: { http: { path: '/up' } } });
  assert.match(changed.out, /check ready GET \/healthz → GET \/up, check live a connection removed; the rest stays/);
  assert.match(
    (await deploy('--check', 'alive=tcp')).err,
    /--check is "alive=tcp", want one of start, ready, live, then =/,
  );
  const portless = await deploy('--no-port', '--check', 'ready=tcp');
  assert.match(portless.err, /check ready names no port and the workload has none, want a port in one of them/);
});

test('deploy: where it may run is said as a whole', async (t) => {
  const { muster, spec } = await controller(t);
  const deploy = (...options: string[]) => muster('deploy', 'acme/web', '--no-wait', ...options);
  await deploy('--image', 'web', '--place', 'zone=a', '--place', 'model=ODROID C2', '--spread', 'rack');
  assert.deepEqual(spec()?.placement, { labels: { zone: 'a', model: 'ODROID C2' }, spread: 'rack' });
  await deploy('--place', 'zone=b');
  assert.deepEqual(spec()?.placement, { labels: { zone: 'b' } });
  await deploy('--no-placement');
  assert.equal(spec()?.placement, undefined);
  assert.match((await deploy('--place', 'zone')).err, /--place is "zone", want LABEL=VALUE, like zone=a/);
  assert.match((await deploy('--spread', 'Rack 1')).err, /--spread is "Rack 1", want the name of a label/);
  assert.match((await deploy('--no-placement', '--place', 'a=b')).err, /want one of --no-placement, and --place/);
});

test('deploy: an image that was imported anew under its name is taken by who names it', async (t) => {
  const { muster, inventory } = await controller(t);
  const deploy = (...options: string[]) => muster('deploy', 'acme/web', '--no-wait', ...options);
  const digest = () => inventory.workloads.get('acme', 'web')?.image.digest;
  await deploy('--image', 'web');
  const [first, second] = [testImage('web'), testImage('web', 'b')];
  await inventory.images.save(second);
  await deploy('--replicas', '2');
  assert.equal(digest(), first.digest);
  await deploy('--image', 'web');
  assert.equal(digest(), second.digest);
});

test('deploy: refusals of the controller change nothing', async (t) => {
  const { muster, spec } = await controller(t);
  await muster('deploy', 'acme/web', '--no-wait', '--image', 'web');
  const before = spec();
  for (const [options, said] of [
    [['--image', 'none'], /there is no image none/],
    [['--memory', '2G'], /want at most the 768 MiB that acme may use/],
  ] as const) {
    const { code, err } = await muster('deploy', 'acme/web', '--no-wait', ...options);
    assert.equal(code, 1);
    assert.match(err, said);
  }
  assert.deepEqual(spec(), before);
  assert.match((await muster('deploy', 'none/web', '--image', 'web', '--no-wait')).err, /there is no customer none/);
});

test('a wrong token is said at once, with where it came from', async (t) => {
  const { muster } = await controller(t);
  const { code, err } = await muster('nodes', '--token', 'wrong');
  assert.equal(code, 1);
  assert.match(err, /does not know the token from --token: want .*muster operator add NAME/);
  const json = await muster('nodes', '--token', 'wrong', '--json');
  assert.deepEqual([JSON.parse(json.err).code, JSON.parse(json.err).status], ['wrong-token', 401]);
});

test('a name that is not there, and nearly another one, gets that one', async (t) => {
  const { muster } = await controller(t);
  assert.match((await muster('kill', 'acmee')).err, /there is no customer acmee, did you mean acme\?\n$/);
  assert.match((await muster('kill', 'zebra')).err, /there is no customer zebra\n$/);
});

test('logs and events say why they are empty', async (t) => {
  const { muster } = await controller(t);
  await muster('deploy', 'acme/web', '--no-wait', '--image', 'web');
  assert.match((await muster('logs', 'acme/web')).err, /acme\/web has said nothing yet/);
  const gone = await muster('logs', 'acme/web', '--instance', 'web-1a2b3c4d');
  assert.match(gone.err, /there is no instance web-1a2b3c4d of acme\/web/);
  assert.match((await muster('events', '--subject', 'nope')).out, /no event is about "nope": want a node, a customer/);
  assert.match((await muster('events', '--subject', 'acme/web')).out, /created: web, 1 replicas/);
});

test('set and scale: only what is named, only of what is there, and another number of instances replaces none', async (t) => {
  const { muster, spec, inventory } = await controller(t);
  assert.match((await muster('set', 'acme/web', '--image', 'web')).err, /there is no workload acme\/web/);
  assert.match((await muster('scale', 'acme/web=2')).err, /there is no workload acme\/web/);
  await muster('deploy', 'acme/web', '--no-wait', '--image', 'web', '--replicas', '2', '--env', 'A=1');
  const set = await muster('set', 'acme/web', '--no-wait', '--image', 'web2', '--env', 'B=2', '--no-env', 'A');
  assert.match(set.out, /^acme\/web: image web → web2, variable B set, variable A removed; the rest stays\n/);
  assert.deepEqual(spec(), { image: 'web2', replicas: 2, env: { B: '2' } });
  const revision = inventory.workloads.get('acme', 'web')?.specRevision;
  const scaled = await muster('scale', 'acme/web=5', '--no-wait', '--json');
  assert.deepEqual([scaled.err, JSON.parse(scaled.out).changes], ['', ['replicas 2 → 5']]);
  assert.equal(inventory.workloads.get('acme', 'web')?.specRevision, revision);
  for (const [line, said] of [
    ['set acme/web', /want at least one option of what is to change/],
    ['scale acme/web', /says no number, want CUSTOMER\/NAME=N/],
    ['scale acme/web=many', /"many" is not a number of instances, want a whole number from 0 to 10000/],
    ['set acme/web --env-rm A', /there is no option --env-rm, it is --no-env now/],
  ] as const) {
    const { code, err } = await muster(...line.split(' '));
    assert.equal(code, 2, err);
    assert.match(err, said);
  }
});

test('who is overtaken by another operator looks again, and gives up in the end', async (t) => {
  let others = 0;
  const other = { by: 'anna', customer: 'acme', name: 'web' };
  const isOvertaken = { times: 2 };
  const { muster, spec, inventory } = await controller(t, {
    onRead: async ({ workloads }) => {
      if (others >= isOvertaken.times) return;
      others += 1;
      await workloads.patch({ ...other, patch: { env: { OTHER: String(others) } } }, other);
    },
  });
  await inventory.workloads.put({ ...other, spec: { image: 'web', replicas: 1 } });
  const scaled = await muster('scale', 'acme/web=3', '--no-wait');
  assert.deepEqual([scaled.code, spec()], [0, { image: 'web', replicas: 3, env: { OTHER: '2' } }], scaled.err);
  others = 0;
  isOvertaken.times = 100;
  const lost = await muster('deploy', 'acme/web', '--no-wait', '--replicas', '7');
  assert.equal(lost.code, 1);
  assert.match(
    lost.err,
    /cannot change acme\/web: others changed it 5 times in between; nothing of this change was made/,
  );
  assert.equal(spec()?.replicas, 3);
});

test('who finds none, and has one made by somebody else meanwhile, changes that one', async (t) => {
  let made = false;
  const { muster, spec } = await controller(t, {
    onRead: async ({ workloads }) => {
      if (made) return;
      made = true;
      await workloads.put({ customer: 'acme', name: 'web', spec: { image: 'web2', replicas: 4, port: 80 } });
    },
  });
  const { code, err } = await muster('deploy', 'acme/web', '--no-wait', '--image', 'web');
  assert.deepEqual([code, spec()], [0, { image: 'web', replicas: 4, port: 80 }], err);
});
