// Images that real clients push and pull, and what happens where there is no room, no end, or nothing to run.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { directory, file, json, tar } from '../../../images/customer/archive.fixture.ts';
import { sampleArchives } from '../../../images/customer/samples.ts';
import { sha256 } from '../../../images/digest.ts';
import { until } from '../../../test/until.ts';
import { registryPlace, type RegistryPlace } from './registry.fixture.ts';
import { openRegistry } from './registry.ts';

const run = promisify(execFile);
const octets = { 'content-type': 'application/octet-stream' };
const manifestType = 'application/vnd.oci.image.manifest.v1+json';

async function skopeo(place: RegistryPlace, args: readonly string[]): Promise<string> {
  const { stdout } = await run('skopeo', ['--insecure-policy', '--override-arch', 'arm64', ...args], {
    env: { ...process.env, HOME: place.rack.directory, XDG_RUNTIME_DIR: place.rack.directory },
  });
  return stdout;
}

const creds = (side: string): string[] => [`--${side}tls-verify=false`, `--${side}creds=anna:secret`];

/** An image with one file, pushed by hand; gives its manifest's bytes. */
async function pushImage(
  place: RegistryPlace,
  { name, text, architecture = 'arm64' }: { name: string; text: string; architecture?: string },
) {
  const [repository = '', tag = ''] = name.split(':');
  const layer = tar([directory('etc'), file('etc/a', text)]);
  const stored = gzipSync(layer);
  const rootfs = { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] };
  const config = Buffer.from(json({ architecture, os: 'linux', config: { Cmd: ['/bin/a'] }, rootfs }));
  const type = 'application/vnd.oci.image';
  const bytes = json({
    schemaVersion: 2,
    mediaType: manifestType,
    config: {
      mediaType: `${type}.config.v1+json`,
      digest: await place.pushBlob(repository, config),
      size: config.length,
    },
    layers: [
      {
        mediaType: `${type}.layer.v1.tar+gzip`,
        digest: await place.pushBlob(repository, stored),
        size: stored.length,
      },
    ],
  });
  const headers = { 'content-type': manifestType };
  return { bytes, answer: await place.ask(`PUT /v2/${repository}/manifests/${tag}`, { body: bytes, headers }) };
}

test('skopeo pushes an image over TLS, a workload runs it by its short name, and skopeo pulls it', async () => {
  await using place = await registryPlace();
  const { inventory } = place.rack;
  const source = join(place.rack.directory, 'web.tar');
  await writeFile(source, sampleArchives({ busybox: randomBytes(300_000), architecture: 'arm64' }).web);
  const at = `docker://127.0.0.1:${place.port}`;
  const checked = ['--dest-creds=anna:secret', `--dest-cert-dir=${place.certificates}`];
  await skopeo(place, ['copy', ...checked, `oci-archive:${source}`, `${at}/acme/web:1.4`]);
  const image = inventory.images.get('acme/web:1.4');
  assert.deepEqual(image?.config.entrypoint, ['/usr/bin/web']);
  assert.equal(image.config.user, 'app');
  const squashfs = await readFile(join(place.rack.directory, 'images', `${image.squashfs.sha256}.squashfs`));
  assert.equal(squashfs.toString('latin1', 0, 4), 'hsqs');

  const put = (customer: string, spec: object) =>
    inventory.workloads.put({ customer, name: 'web', spec: { image: 'web:1.4', replicas: 1, ...spec } });
  const deployed = await put('acme', {});
  assert.ok('workload' in deployed && deployed.workload.image.name === 'acme/web:1.4');
  assert.ok('refused' in (await put('bolt', {})), 'it is acme’s');
  assert.ok('workload' in (await put('bolt', { image: 'acme/web:1.4' })));

  assert.deepEqual(JSON.parse(await skopeo(place, ['list-tags', ...creds(''), `${at}/acme/web`])).Tags, ['1.4']);
  const pulled = join(place.rack.directory, 'pulled');
  await skopeo(place, ['copy', ...creds('src-'), `${at}/acme/web:1.4`, `oci:${pulled}:web`]);
  const index = JSON.parse(await readFile(join(pulled, 'index.json'), 'utf8'));
  assert.equal(index.manifests[0].digest, `sha256:${image.digest}`);
  await skopeo(place, ['copy', ...creds('dest-'), ...creds('src-'), `${at}/acme/web:1.4`, `${at}/bolt/web:2`]);
  assert.equal(inventory.images.get('bolt/web:2')?.squashfs.sha256, image.squashfs.sha256, 'converted once');
  await assert.rejects(
    skopeo(place, [
      'copy',
      '--dest-tls-verify=false',
      '--dest-creds=a:wrong',
      `oci-archive:${source}`,
      `${at}/acme/web:1.5`,
    ]),
    /unauthorized/,
  );

  const refused = await place.ask('DELETE /v2/acme/web/manifests/1.4');
  assert.match(refused.code, /^DENIED: image acme\/web:1.4 is used by acme\/web, bolt\/web/);
  assert.equal((await place.ask('GET /v2/acme/web/manifests/1.4')).status, 200);
  assert.equal((await place.ask('DELETE /v2/bolt/web/manifests/2')).status, 202);
  assert.equal(inventory.images.get('bolt/web:2'), undefined);
});

test('an image by docker’s own media types, under a tag that moves, has a history', async () => {
  await using place = await registryPlace();
  const source = join(place.rack.directory, 'web.tar');
  const at = `docker://127.0.0.1:${place.port}/web:latest`;
  for (const size of [1_000, 2_000]) {
    await writeFile(source, sampleArchives({ busybox: randomBytes(size), architecture: 'arm64' }).web);
    await skopeo(place, ['copy', '--format=v2s2', ...creds('dest-'), `oci-archive:${source}`, at]);
  }
  const image = place.rack.inventory.images.get('web:latest');
  assert.equal(image?.history?.length, 1);
  const { headers } = await place.ask('HEAD /v2/web/manifests/latest');
  assert.equal(headers['content-type'], 'application/vnd.docker.distribution.manifest.v2+json');
  const spec = { image: 'web', replicas: 1 };
  const deployed = await place.rack.inventory.workloads.put({ customer: 'acme', name: 'web', spec });
  assert.ok('workload' in deployed && deployed.workload.image.digest === image.digest, 'without a tag it is latest');
});

test('of an image for many machines the one for boards becomes the image', async () => {
  await using place = await registryPlace();
  const manifests = [];
  for (const architecture of ['amd64', 'arm64']) {
    const { bytes } = await pushImage(place, { name: `acme/web:${architecture}`, text: architecture, architecture });
    const digest = `sha256:${sha256(Buffer.from(bytes))}`;
    manifests.push({ mediaType: manifestType, digest, size: bytes.length, platform: { architecture, os: 'linux' } });
  }
  const type = 'application/vnd.oci.image.index.v1+json';
  const body = json({ schemaVersion: 2, mediaType: type, manifests });
  const put = await place.ask('PUT /v2/acme/web/manifests/many', { body, headers: { 'content-type': type } });
  assert.deepEqual([put.status, put.headers['warning']], [201, undefined]);
  assert.equal(`sha256:${place.rack.inventory.images.get('acme/web:many')?.digest}`, manifests[1]?.digest);
});

test('what no board can run is kept, with a warning and an event that say why', async () => {
  await using place = await registryPlace();
  const { answer } = await pushImage(place, { name: 'acme/web:amd', text: 'a', architecture: 'amd64' });
  assert.equal(answer.status, 201);
  assert.match(
    String(answer.headers['warning']),
    /^299 - "no board can run it: .*want linux\/arm64, it holds linux\/amd64"$/,
  );
  assert.equal((await place.ask('GET /v2/acme/web/manifests/amd')).status, 200);
  assert.equal(place.rack.inventory.images.get('acme/web:amd'), undefined);
  const events = await place.rack.inventory.events.list({ limit: 10 });
  assert.ok(
    events.some(({ message }) => /pushed, and no board can run it/.test(message)),
    json(events),
  );
});

test('an upload that breaks off goes on where it was', async () => {
  await using place = await registryPlace();
  const bytes = randomBytes(3 << 20);
  const { headers } = await place.ask('POST /v2/acme/web/blobs/uploads/');
  const upload = String(headers.location);
  const broken = new Readable({ read: () => undefined });
  broken.push(bytes.subarray(0, 1 << 20));
  const asking = place.ask(`PATCH ${upload}`, { body: broken, headers: octets });
  const gone = assert.rejects(asking);
  const here = async () => Number((await place.ask(`GET ${upload}`)).headers.range?.toString().slice(2)) + 1;
  await until('half of what was sent is written', async () => (await here()) >= 1 << 19);
  place.breakConnections();
  await gone;
  await until('the rest is taken', async () => {
    const from = await here();
    const rest = { ...octets, 'content-range': `${from}-${bytes.length - 1}` };
    return (await place.ask(`PATCH ${upload}`, { body: bytes.subarray(from), headers: rest })).status === 202;
  });
  assert.equal((await place.ask(`PUT ${upload}?digest=sha256:${sha256(bytes)}`)).status, 201);
  assert.deepEqual((await place.ask(`GET /v2/acme/web/blobs/sha256:${sha256(bytes)}`)).body, bytes);
});

test('a customer’s quota holds for blobs, uploads and mounts, and what no tag needs makes room, the oldest first', async () => {
  await using place = await registryPlace({ totalBytes: 1 << 20, customerBytes: 1 << 19 });
  const blob = (size: number) => randomBytes(size);
  const first = await place.pushBlob('acme/web', blob(300_000));
  const post = (repository: string, bytes: Buffer) =>
    place.ask(`POST /v2/${repository}/blobs/uploads/?digest=sha256:${sha256(bytes)}`, { body: bytes, headers: octets });
  const over = await post('acme/other', blob(300_000));
  assert.match(over.code, /^DENIED: cannot store it: acme may have 524288 bytes; remove images that nothing uses/);
  const others = await place.pushBlob('bolt/web', blob(400_000));
  assert.match((await place.ask(`POST /v2/acme/web/blobs/uploads/?mount=${others}&from=bolt/web`)).code, /^DENIED/);
  assert.match((await post('everybodys', blob(400_000))).code, /^DENIED: .*all repositories together may have 1048576/);
  // An hour later nobody is at it any more.
  place.clock.now += 2 * 3_600_000;
  assert.equal((await post('acme/other', blob(300_000))).status, 201);
  assert.equal((await place.ask(`GET /v2/acme/web/blobs/${first}`)).status, 404);
  assert.equal((await place.ask(`GET /v2/bolt/web/blobs/${others}`)).status, 200, 'bolt had room');
});

test('what a tag needs stays, and what is no longer tagged goes with all that it alone has', async () => {
  await using place = await registryPlace();
  await pushImage(place, { name: 'acme/web:1', text: 'one' });
  await pushImage(place, { name: 'acme/web:1', text: 'two' });
  await pushImage(place, { name: 'acme/web:2', text: 'three' });
  const blobs = async () => (await readdir(join(place.directory, 'blobs/sha256'))).length;
  assert.equal(await blobs(), 9);
  const registry = await place.registry();
  assert.equal(await registry.collect(), 0, 'a push may still be at it');
  place.clock.now += 2 * 3_600_000;
  assert.ok((await registry.collect()) > 0);
  assert.equal(await blobs(), 6);
  await place.images.remove('acme/web:2');
  await registry.forget('acme/web:2');
  await registry.collect();
  assert.equal(await blobs(), 3);
  assert.equal((await place.ask('GET /v2/acme/web/manifests/1')).status, 200);
});

test('a controller that starts again has what was answered, and nothing else', async () => {
  await using place = await registryPlace();
  const { bytes } = await pushImage(place, { name: 'acme/web:1', text: 'one' });
  const upload = await place.ask('POST /v2/acme/web/blobs/uploads/');
  await place.ask(`PATCH ${upload.headers.location}`, { body: 'half', headers: octets });
  const stray = join(place.directory, 'blobs/sha256', sha256('stray'));
  await writeFile(stray, 'stray');
  const { inventory } = place.rack;
  const { images, directory: at } = place;
  const again = await openRegistry({ directory: at, inventory, images, random: randomBytes, now: () => 0 });
  const found = again.manifest('acme/web', { tag: '1' });
  assert.equal(await readFile(found.path, 'utf8'), bytes);
  assert.equal((await readdir(join(at, 'blobs/sha256'))).length, 3);
  assert.deepEqual(await readdir(join(at, 'uploads')), []);
});

test('too many uploads are refused, and one that nobody goes on with ends', async () => {
  await using place = await registryPlace({ uploads: 3, uploadsOfOne: 2, idleMs: 60_000 });
  const start = () => place.ask('POST /v2/acme/web/blobs/uploads/');
  await start();
  await start();
  assert.match((await start()).code, /^TOOMANYREQUESTS: cannot start an upload: 2 are under way, 2 of them by root/);
  place.clock.now += 61_000;
  assert.equal((await start()).status, 202);
});

test('a large blob comes in without holding up the event loop', async (t) => {
  await using place = await registryPlace();
  const megabytes = 160;
  const { headers } = await place.ask('POST /v2/acme/web/blobs/uploads/');
  using turns = measuredTurns();
  const started = performance.now();
  await run(process.execPath, ['--input-type=module', '--eval', senderProgram], {
    env: {
      ...process.env,
      UPLOAD: `https://127.0.0.1:${place.port}${headers.location}`,
      MEGABYTES: String(megabytes),
    },
  });
  const { headers: state } = await place.ask(`GET ${headers.location}`);
  assert.equal(state.range, `0-${megabytes * 2 ** 20 - 1}`);
  const { often, worst } = turns.stop();
  const took = Math.round(performance.now() - started);
  t.diagnostic(
    `${megabytes} MiB in ${took} ms; a turn of the event loop took ${often.toFixed(1)} ms of the processor (p99), ${worst.toFixed(1)} ms at most`,
  );
  // A blob that is kept or hashed whole takes hundreds of milliseconds.
  assert.ok(often < 20, `${often} ms`);
});

/** What turns of this thread's event loop cost it, ms of the processor: waiting for that is not counted. */
function measuredTurns() {
  const costs: number[] = [];
  let goesOn = true;
  let before = process.threadCpuUsage();
  const turn = (): void => {
    const { user, system } = process.threadCpuUsage(before);
    costs.push((user + system) / 1_000);
    before = process.threadCpuUsage();
    if (goesOn) setImmediate(turn);
  };
  setImmediate(turn);
  const stop = () => {
    goesOn = false;
    const ascending = costs.filter((cost) => cost > 0.1).toSorted((a, b) => a - b);
    return { often: ascending[Math.floor(ascending.length * 0.99)] ?? 0, worst: ascending.at(-1) ?? 0 };
  };
  return { stop, [Symbol.dispose]: () => void stop() };
}

/** Sends from another process, so that only receiving is measured here. */
const senderProgram = `
import { request } from 'node:https';
const piece = Buffer.alloc(1 << 20, 'muster');
const authorization = 'Basic ' + Buffer.from('anna:secret').toString('base64');
const headers = { authorization, 'content-type': 'application/octet-stream' };
const asking = request(process.env.UPLOAD, { method: 'PATCH', rejectUnauthorized: false, headers }, (response) => {
  process.exitCode = response.statusCode === 202 ? 0 : 1;
  response.resume();
});
let left = Number(process.env.MEGABYTES);
const send = () => {
  while (left-- > 0) if (!asking.write(piece)) return void asking.once('drain', send);
  asking.end();
};
send();
`;
