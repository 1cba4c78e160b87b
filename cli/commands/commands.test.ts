// The commands against a small peer that checks requests by the same schemas as the controller, over real HTTP.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fastify from 'fastify';
import { listening, muster, node, peer, type Where } from './peer.fixture.ts';

const shown: [line: string, wanted: RegExp][] = [
  ['status', /nodes +2 ready\n.*\n.*\norders +1 kill order stands/],
  [
    'nodes',
    /^SLOT +NAME.*\n +1 +node-c20001 +02:00:00:c2:00:01 +10\.77\.0\.51 +ready +2 min +joined +25% +200M\/1\.9G +1 +acme\n$/,
  ],
  ['node node-c20001', /model +ODROID-C2/],
  ['node rename node-c20001 west-1', /^west-1 \(02:00:00:c2:00:01\) has that name now\n$/],
  ['node fence node-c20001', /is fenced/],
  ['node unfence node-c20001', /no longer fenced/],
  ['node cordon node-c20001', /gets no more instances/],
  ['node drain node-c20001 --no-wait', /is being drained of 1 instances|is drained: it has no instances/],
  ['node uncordon node-c20001', /gets instances again/],
  ['node label node-c20001 zone=a', /has these labels now/],
  ['node remove node-c20001', /forgotten/],
  ['customers', /acme +may run +1\/1 +1 +768M +512 +stop/],
  ['customer add acme --on-silence hold --memory 1G --processes 64', /customer acme is there/],
  ['customer remove acme', /removed/],
  ['images', /web +aaaaaaaaaaaa +arm64 +1M +\/usr\/bin\/web +acme\/web \+1 +5\.0 s ago/],
  ['image ls', /web +aaaaaaaaaaaa +arm64/],
  [
    'image inspect web',
    /^web\n +digest +a{64}\n(.*\n)+ +used by +acme\/web, 2 instances, of bbbbbbbbbbbb\n +before +bbbbbbbbbbbb +1M +5\.0 s ago\n$/,
  ],
  ['image import docker://10.0.0.9:5000/team/web:1.4', /^image team\/web:1\.4 is there: 1M, aaaaaaaaaaaa\n$/],
  ['image import docker://hub/library/nginx:1 --insecure --name edge', /^image edge is there/],
  ['image prune --keep 2M', /^old is removed, 1M freed: 2M of images are left\n$/],
  ['image prune --dry-run', /^old would be removed/],
  ['image remove web', /removed/],
  ['deploy acme/web --image web', /acme\/web runs: 1 of web after .*\n {2}node-c20001 {2}http:\/\/10\.77\.0\.51:20000/],
  ['deploy acme/web --image web --no-wait', /stored: 1 of web wanted/],
  ['ps', /web-00000001 +acme\/web +node-c20001 +running +2\.0 s +0 +http/],
  ['ps acme', /web-00000001/],
  ['logs acme/web', /web-00000001 hello \u{fffd}\[31mworld/u],
  ['rm acme/web', /removed/],
  ['kills', /3 +acme +stands/],
  ['kill show 3', /node-a +02:00:00:c2:00:01 +2 ms +5 ms +12 ms +receipt +3 +-/],
  ['lift acme', /order 3 is lifted: acme may run again/],
  ['approvals', /7 +stop everything +anna +.* +10 min +fire/],
  ['approve 8', /order 3 is lifted/],
  ['withdraw 7', /request 7 is withdrawn/],
  ['operators', /anna/],
  ['operator add anna', /shown only now:\nf00d\n$/],
  ['operator rm anna', /operator anna is removed/],
  ['events', /node +02:00:00:c2:00:01: ready: joined/],
];
for (const [line, wanted] of shown) {
  test(`${line} says so in words, and with --json in JSON`, async () => {
    await using there = await peer();
    const { code, out, err } = await muster(line, there);
    assert.equal(code, 0, err);
    assert.match(out, wanted);
    const json = await muster(`${line} --json`, there);
    assert.equal(json.code, 0, json.err);
    assert.equal(typeof JSON.parse(json.out), 'object');
  });
}

test('customer add, deploy, kill and lift send what was said', async () => {
  await using there = await peer({ kill: [{ stopped: 2, slowestMs: 5, unacknowledged: [] }] });
  await muster('customer add acme --on-silence hold --memory 1G --processes 64', there);
  const deploy =
    'deploy acme/web --image web --replicas 2 --port 8080 --memory 64M --cpu 0.5 --processes 9 --user app --capabilities chown,CAP_SETUID --stop-signal sigint --stop-grace 3s --env A=1=2 --no-wait -- run it';
  await muster(deploy, there);
  await muster(['kill', '--everything', '--reason', 'a drill'], there);
  await muster('lift --everything', there);
  assert.deepEqual(
    there.requests.filter(({ line }) => !line.startsWith('GET')),
    [
      { line: 'POST /v1/customers', body: { name: 'acme', onSilence: 'hold', memoryBytes: 2 ** 30, processes: 64 } },
      {
        line: 'PUT /v1/workloads/acme/web',
        body: {
          image: 'web',
          replicas: 2,
          port: 8080,
          memoryBytes: 2 ** 26,
          cpu: 0.5,
          processes: 9,
          user: 'app',
          capabilities: ['CHOWN', 'SETUID'],
          stopSignal: 'SIGINT',
          stopGraceMs: 3_000,
          env: { A: '1=2' },
          command: ['run', 'it'],
        },
      },
      { line: 'POST /v1/kill', body: { everything: true, reason: 'a drill' } },
      { line: 'POST /v1/lift', body: { everything: true } },
    ],
  );
});

test('refusals are the sentence of the controller, exit code 1', async () => {
  await using there = await peer();
  assert.deepEqual(await muster('node nowhere', there), {
    code: 1,
    out: '',
    err: 'muster: there is no node nowhere\n',
  });
  const { code, err } = await muster('kill nobody', there);
  assert.deepEqual([code, err], [1, 'muster: there is no customer nobody\n']);
  assert.match((await muster('ps nobody', there)).err, /there is no customer nobody/);
});

test('without a token, or with a wrong one, it says where they come from', async () => {
  await using there = await peer();
  const none = await muster('customer remove acme', { url: there.url, token: '' });
  assert.equal(none.code, 1);
  assert.match(
    none.err,
    /wants an operator's token, and none was found \(neither --token nor \$MUSTER_TOKEN; not in has-none, /,
  );
  const wrong = await muster('customer remove acme --token x', there);
  assert.match(wrong.err, /does not know the token from --token: want --token, .*muster operator add NAME\n$/);
});

test('wrong usage is exit code 2', async () => {
  await using there = await peer();
  for (const line of ['nods', 'kill', 'kill acme --everything', 'deploy web --image web', 'logs a/b --tail x']) {
    const { code, err } = await muster(line, there);
    assert.equal(code, 2, line);
    assert.match(err, /^muster: .*\n$/, line);
  }
  assert.deepEqual(there.requests, []);
});

test('with --json an error is one line of JSON on standard error, with a code', async () => {
  await using there = await peer();
  const table: [line: string, exit: number, error: { code: string; status?: number }, where: Where][] = [
    ['nods --json', 2, { code: 'usage' }, there],
    ['deploy acme/web --port 0 --json', 2, { code: 'usage' }, there],
    ['node nowhere --json', 1, { code: 'refused', status: 404 }, there],
    ['customer remove acme --token x --json', 1, { code: 'unauthorized', status: 401 }, there],
    ['nodes --json', 1, { code: 'unreachable' }, { url: 'http://127.0.0.1:9' }],
  ];
  for (const [line, exit, wanted, where] of table) {
    const { code, out, err } = await muster(line, where);
    assert.deepEqual([code, out], [exit, ''], line);
    assert.match(err, /^\{.*\}\n$/, line);
    const { error, ...rest } = JSON.parse(err);
    assert.deepEqual([typeof error, rest], ['string', wanted], line);
  }
});

test('an answer that is not as described is no answer', async () => {
  const app = fastify();
  app.get('/v1/nodes', () => ({ nodes: [{ ...node, slot: 'one' }] }));
  app.get('/v1/customers', (_request, reply) => reply.type('text/html').send('<p>Welcome'));
  await using there = await listening(app);
  for (const line of ['nodes', 'customers'])
    assert.match(
      (await muster(line, there)).err,
      /cannot understand the answer to GET .*: is the controller at .* another version/,
    );
});

test('problem+json: the detail is the sentence, its code the code', async () => {
  const app = fastify();
  app.get('/v1/nodes', (_request, reply) =>
    reply
      .status(503)
      .type('application/problem+json')
      .send({ title: 'Busy', detail: 'cannot answer now', code: 'busy' }),
  );
  await using there = await listening(app);
  const { err } = await muster('nodes --json', there);
  assert.deepEqual(JSON.parse(err), { error: 'cannot answer now', code: 'busy', status: 503 });
});

test('on a terminal good and bad have colours, and data has none', async () => {
  await using there = await peer({ states: ['running'] });
  const { out } = await muster('ps', { ...there, colours: true });
  assert.ok(out.includes('\u001b[32mrunning\u001b[0m'), out);
  const { out: logs } = await muster('logs acme/web', { ...there, colours: true });
  assert.ok(logs.endsWith('\u001b[36mweb-00000001\u001b[0m hello \u{fffd}[31mworld\n'), logs);
});

test('nodes --state shows those of a state, and says what the directory is called now', async () => {
  await using there = await peer();
  assert.match((await muster('nodes --state ready', there)).out, /node-c20001/);
  assert.equal((await muster('nodes --state lost', there)).out, 'no node is lost\n');
  const wrong = await muster('nodes --state /var/lib/muster', there);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /want one of seen, .* \(the controller's directory is --state-dir\)/);
  const renamed = await muster('status --state /var/lib/muster', there);
  assert.deepEqual(
    [renamed.code, renamed.err],
    [2, 'muster: there is no option --state, it is --state-dir now (see muster status --help)\n'],
  );
});

test('no controller: one sentence that says what to do', async () => {
  const { code, err } = await muster('nodes', { url: 'http://127.0.0.1:9' });
  assert.equal(code, 1);
  assert.match(err, /^muster: cannot reach a controller at http:\/\/127\.0\.0\.1:9 \(ECONNREFUSED\): start one .*\n$/);
});

describe('muster deploy', () => {
  test('waits for what is on its way', async () => {
    await using there = await peer({ states: ['fetching', 'starting', 'running'] });
    const { code, err } = await muster('deploy acme/web --image web', there);
    assert.equal(code, 0);
    assert.match(err, /0\/1 ready, fetching on node-c20001/);
  });
  test('does not wait for a killed customer', async () => {
    await using there = await peer({ states: ['stopped'], killedBy: 3 });
    const { code, err } = await muster('deploy acme/web --image web', there);
    assert.equal(code, 1);
    assert.match(err, /is stored, but kill order 3 stands/);
  });
  test('gives up after --timeout', async () => {
    await using there = await peer({ states: ['fetching'] });
    const { code, err } = await muster('deploy acme/web --image web --timeout 100ms', there);
    assert.equal(code, 1);
    assert.match(err, /does not run as wanted after 100 ms/);
  });
});

describe('muster image import', () => {
  test('sends a file, a directory as a tar, and says how large; a refused upload gets its sentence', async () => {
    await using there = await peer();
    const directory = await mkdtemp(join(tmpdir(), 'muster-cli-'));
    try {
      const path = join(directory, 'web.tar');
      await writeFile(path, Buffer.alloc(3 << 20));
      const { code, out, err } = await muster(['image', 'import', path], there);
      assert.equal(code, 0, err);
      assert.equal(out, 'image web is there: 3M, aaaaaaaaaaaa\n');
      assert.equal(err, 'sent web: 3M, the controller converts it …\n');

      await mkdir(join(directory, 'layout'));
      await writeFile(join(directory, 'layout', 'index.json'), '{}');
      const layout = await muster(['image', 'import', join(directory, 'layout'), '--name', 'team/app:1'], there);
      assert.match(layout.out, /image team\/app:1 is there: 10K/);

      const refused = await muster(['image', 'import', path, '--token', 'wrong'], there);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /does not know the token from --token/);
      const missing = await muster(['image', 'import', join(directory, 'none.tar')], there);
      assert.match(missing.err, /^muster: cannot import .*none\.tar: there is no such file or directory\n$/);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
