// Files of workloads against the operators' API of a real controller.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { macOf, testImage } from '../../inventory/rack.fixture.ts';
import { controller } from './controller.fixture.ts';

async function files(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'muster-files-'));
  t.after(() => rm(directory, { recursive: true }));
  return async (name: string, text: string) => {
    const path = join(directory, name);
    await writeFile(path, text);
    return path;
  };
}

const two = `customer: acme
workloads:
  web: { image: web, replicas: 2, port: 80, env: { A: 1, SECRET: hush } }
  job: { image: web2, command: [run] }
`;

test('deploy --file makes what is wanted, changes only what differs, and is done when it is done', async (t) => {
  const { muster, inventory } = await controller(t);
  const write = await files(t);
  const path = await write('acme.yaml', two);
  assert.deepEqual(await muster('diff', '-f', path), {
    code: 1,
    out: 'acme/web is new: image web, replicas 2, port 80, variable A set, variable SECRET set\nacme/job is new: image web2, replicas 1, command run\n',
    err: '',
  });
  const tried = await muster('deploy', '-f', path, '--dry-run');
  assert.deepEqual([tried.code, inventory.workloads.all()], [0, []], tried.err);
  assert.equal((await muster('deploy', '-f', path, '--no-wait')).code, 0);
  const spec = (name: string) => inventory.workloads.get('acme', name)?.spec;
  assert.deepEqual(spec('web'), { image: 'web', replicas: 2, port: 80, env: { A: '1', SECRET: 'hush' } });
  const revision = inventory.workloads.get('acme', 'web')?.specRevision;
  const again = await muster('deploy', '-f', path, '--no-wait');
  assert.equal(again.out, 'acme/web is as wanted\nacme/job is as wanted\n');
  assert.equal(inventory.workloads.get('acme', 'web')?.specRevision, revision);
  assert.equal((await muster('diff', '-f', path)).code, 0);

  await muster('scale', 'acme/job=7', '--no-wait');
  await muster('deploy', 'acme/other', '--image', 'web', '--no-wait');
  const changed = await write('changed.yaml', two.replace('port: 80, ', '').replace('A: 1', 'A: 2'));
  const difference = await muster('diff', '-f', changed);
  assert.equal(
    difference.out,
    'acme/web: port 80 removed, variable A set\nacme/job is as wanted\nacme/other is not in the file, and stays as it is\n',
  );
  const json = await muster('deploy', '-f', changed, '--no-wait', '--json');
  const { workloads } = JSON.parse(json.out);
  assert.deepEqual([workloads[0].changes, workloads[1].replicas], [['port 80 removed', 'variable A set'], 7]);
  assert.ok(!json.out.includes('hush'));
});

test('what is exported is deployed to the same', async (t) => {
  const { muster, inventory } = await controller(t);
  const write = await files(t);
  await muster('deploy', '-f', await write('acme.yaml', two), '--no-wait');
  await muster(
    'set',
    'acme/web',
    '--no-wait',
    '--memory',
    '33M',
    '--cpu',
    '0.5',
    '--processes',
    '9',
    '--env',
    'X= a: #',
  );
  const specs = () => Object.fromEntries(inventory.workloads.all().map(({ name, spec }) => [name, spec]));
  const before = specs();
  const exported = await muster('export', 'acme');
  assert.equal(exported.code, 0, exported.err);
  const path = await write('exported.yaml', exported.out);
  assert.deepEqual((await muster('diff', '-f', path)).code, 0);
  for (const name of ['web', 'job']) await muster('rm', `acme/${name}`);
  assert.equal((await muster('export', 'acme')).code, 1);
  await muster('deploy', '-f', path, '--no-wait');
  assert.deepEqual(specs(), before);
  assert.match((await muster('export', 'nobody')).err, /there is no customer nobody/);
});

test('a file of which anything is wrong or would be refused changes nothing', async (t) => {
  const { muster, inventory } = await controller(t);
  const write = await files(t);
  const broken = await write('broken.yaml', two.replace('port: 80', 'prot: 80'));
  const read = await muster('deploy', '-f', broken);
  assert.equal(read.code, 2);
  assert.match(
    read.err,
    /cannot read .*broken\.yaml:\n {2}.*broken\.yaml:3:35: there is no "prot" in "workloads.web": did you mean port\?/,
  );
  const refused = await muster('deploy', '-f', await write('refused.yaml', two.replace('web2', 'nope')));
  assert.equal(refused.code, 1);
  assert.match(
    refused.err,
    /nothing was changed, this would be refused:\n {2}acme\/job: there is no image nope: import it first\n$/,
  );
  assert.deepEqual(inventory.workloads.all(), []);
  for (const [line, said] of [
    ['deploy', /want CUSTOMER\/NAME, or --file FILE/],
    [`deploy acme/web -f ${broken}`, /cannot use "acme\/web" beside --file/],
    [`deploy -f ${broken} --image web`, /want --image in the file, and not beside --file/],
    [`deploy -f ${broken} --no-port`, /want --port in the file/],
    ['deploy acme/web --image web --dry-run', /--dry-run goes with --file/],
    ['diff', /want --file FILE/],
    ['diff -f /no/such/file', /cannot read \/no\/such\/file: want a file of workloads/],
  ] as const) {
    const { code, err } = await muster(...line.split(' '));
    assert.equal(code, 2, err);
    assert.match(err, said);
  }
});

test('a Compose file is deployed for a customer, with what it names beside it', async (t) => {
  const { muster, inventory } = await controller(t);
  const write = await files(t);
  await write('web.env', 'A=1\n');
  const path = await write(
    'compose.yaml',
    'services:\n  web:\n    image: web\n    command: go\n    env_file: web.env\n    ports: ["8080:80"]\n  db: { image: web2 }\n',
  );
  assert.match((await muster('deploy', '-f', path)).err, /names no customer, want --customer NAME/);
  const { code, out, err } = await muster('deploy', '-f', path, '--customer', 'acme', '--no-wait');
  assert.equal(code, 0, err);
  assert.match(err, /compose\.yaml:6:13: each instance of web is reached at a port of its node/);
  assert.match(out, /acme\/web is new: image web, replicas 1, port 80, command \/bin\/app go, variable A set\n/);
  assert.deepEqual(inventory.workloads.get('acme', 'web')?.spec, {
    image: 'web',
    replicas: 1,
    port: 80,
    command: ['/bin/app', 'go'],
    env: { A: '1' },
  });
});

test('a command of a Compose file goes behind the entry point of the image that its customer gets', async (t) => {
  const { muster, inventory } = await controller(t);
  const own = testImage('acme/web', 'own');
  await inventory.images.save({ ...own, config: { ...own.config, entrypoint: ['/own/entry'] } });
  const path = await (await files(t))('compose.yaml', 'services: { web: { image: web, command: go } }\n');
  assert.equal((await muster('deploy', '-f', path, '--customer', 'acme', '--no-wait')).code, 0);
  const deployed = inventory.workloads.get('acme', 'web');
  assert.deepEqual([deployed?.spec.command, deployed?.image.name], [['/own/entry', 'go'], 'acme/web']);
});

test('what a service depends on runs before the service is made', async (t) => {
  const { run, muster, inventory, rack } = await controller(t);
  const write = await files(t);
  const mac = macOf(1);
  await rack.ready(mac);
  const path = await write(
    'compose.yaml',
    'services:\n  web: { image: web, depends_on: [db] }\n  db: { image: web2, deploy: { replicas: 2 } }\n',
  );
  const seen: string[][] = [];
  /** As the scheduler and a board do it, between two looks of the command: one instance each time. */
  const oneMore = async () => {
    const all = inventory.workloads.all();
    seen.push(all.map(({ name }) => name).toSorted());
    const short = all.find(({ customer, name, spec }) => inventory.instances.of(customer, name).length < spec.replicas);
    if (short === undefined) return;
    const id = `${short.name}-${inventory.instances.nextNumber().toString(16).padStart(8, '0')}`;
    const { customer, name: workload, specRevision } = short;
    const place = { kind: 'place', id, customer, workload, node: mac, port: null, specRevision, reason: '' } as const;
    assert.deepEqual(await inventory.instances.apply([place]), { applied: 1 });
    const running = inventory.instances.on(mac).map((instance) => ({ id: instance.id, state: 'running' as const }));
    await inventory.instances.report(
      mac,
      running.map((each) => ({ ...each, reason: '', restarts: 0 })),
    );
  };
  const { code, out, err } = await run(['deploy', '-f', path, '--customer', 'acme'], { sleep: oneMore });
  assert.equal(code, 0, err);
  assert.deepEqual(seen, [['db'], ['db'], ['db', 'web']]);
  assert.match(
    out,
    /^acme\/db is new: .*\nacme\/web is new: .*\nacme\/db runs: 2 of web2 after .*\n.*\n.*\nacme\/web runs: 1 of/,
  );
  const json = await muster('deploy', '-f', path, '--customer', 'acme', '--json');
  const { workloads } = JSON.parse(json.out);
  assert.deepEqual(
    workloads.map(({ name, changes, instances }: { name: string; changes: []; instances: [] }) => [
      name,
      changes.length,
      instances.length,
    ]),
    [
      ['db', 0, 2],
      ['web', 0, 1],
    ],
  );
});

test('muster schema prints the schema that is published', async (t) => {
  const { muster } = await controller(t);
  assert.deepEqual(Object.keys(JSON.parse((await muster('schema')).out).properties), ['customer', 'workloads']);
});
