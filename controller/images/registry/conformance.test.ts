// The rules of the OCI distribution-spec 1.1 for push, pull, content discovery and content management, one after another.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '../../../images/digest.ts';
import { registryPlace, type RegistryPlace } from './registry.fixture.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';
const digestOf = (bytes: Buffer): string => `sha256:${sha256(bytes)}`;
const octets = { 'content-type': 'application/octet-stream' };

/** A manifest of an artifact with one blob, pushed. */
async function pushArtifact(
  place: RegistryPlace,
  { repository, reference, text, own = {} }: { repository: string; reference?: string; text: string; own?: object },
) {
  const blob = Buffer.from(text);
  const digest = await place.pushBlob(repository, blob);
  const empty = await place.pushBlob(repository, Buffer.from('{}'));
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      artifactType: 'text/plain',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: empty, size: 2 },
      layers: [{ mediaType: 'text/plain', digest, size: blob.length }],
      ...own,
    }),
  );
  const answer = await place.ask(`PUT /v2/${repository}/manifests/${reference ?? digestOf(bytes)}`, {
    body: bytes,
    headers: { 'content-type': manifestType },
  });
  return { bytes, answer, digest: digestOf(bytes), blob: digest };
}

test('a client finds out that this is a registry, and that it wants a token', async () => {
  await using place = await registryPlace();
  const base = await place.ask('GET /v2/');
  assert.deepEqual([base.status, base.headers['docker-distribution-api-version']], [200, 'registry/2.0']);
  const without = await place.ask('GET /v2/', { token: '' });
  assert.deepEqual([without.status, without.headers['www-authenticate']], [401, 'Basic realm="muster"']);
  assert.match(without.code, /^UNAUTHORIZED: want an operator's token as the password/);
  assert.match((await place.ask('GET /v2/', { token: 'wrong' })).code, /^UNAUTHORIZED: no operator has this token/);
  assert.equal((await place.ask('GET /v2/_catalog')).status, 404);
  assert.equal((await place.ask('GET /v2/', { headers: { host: 'controller:8443' } })).status, 200);
});

test('blobs come in by POST and PUT, by one POST, in pieces, and go out whole or in part', async () => {
  await using place = await registryPlace();
  const bytes = Buffer.from('a blob of some bytes');
  const digest = digestOf(bytes);
  const missing = await place.ask(`GET /v2/acme/web/blobs/${digest}`);
  assert.deepEqual([missing.status, missing.code.split(':')[0]], [404, 'BLOB_UNKNOWN']);

  const started = await place.ask('POST /v2/acme/web/blobs/uploads/');
  assert.equal(started.status, 202);
  const put = await place.ask(`PUT ${started.headers.location}?digest=${digest}`, { body: bytes, headers: octets });
  assert.deepEqual([put.status, put.headers.location], [201, `/v2/acme/web/blobs/${digest}`]);
  assert.equal((await place.ask(`PUT ${started.headers.location}?digest=${digest}`, { body: bytes })).status, 404);

  const read = await place.ask(`GET /v2/acme/web/blobs/${digest}`);
  assert.deepEqual([read.status, read.body, read.headers['docker-content-digest']], [200, bytes, digest]);
  const head = await place.ask(`HEAD /v2/acme/web/blobs/${digest}`);
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, String(bytes.length), 0]);
  const part = await place.ask(`GET /v2/acme/web/blobs/${digest}`, { headers: { range: 'bytes=2-5' } });
  assert.deepEqual(
    [part.status, part.body.toString(), part.headers['content-range']],
    [206, 'blob', `bytes 2-5/${bytes.length}`],
  );
  assert.equal((await place.ask(`GET /v2/acme/web/blobs/${digest}`, { headers: { range: 'bytes=900-' } })).status, 416);

  const once = Buffer.from('at once');
  assert.equal(await place.pushBlob('acme/web', once), digestOf(once));

  const pieces = await place.ask('POST /v2/acme/web/blobs/uploads/');
  const at = pieces.headers.location;
  const patch = (from: number, text: string) =>
    place.ask(`PATCH ${at}`, {
      body: text,
      headers: { ...octets, 'content-range': `${from}-${from + text.length - 1}` },
    });
  const first = await patch(0, 'hello ');
  assert.deepEqual([first.status, first.headers.range], [202, '0-5']);
  const gap = await patch(9, 'world');
  assert.deepEqual([gap.status, gap.headers['range']], [416, '0-5']);
  assert.equal((await patch(0, 'hello ')).status, 416);
  const state = await place.ask(`GET ${at}`);
  assert.deepEqual([state.status, state.headers.range], [204, '0-5']);
  assert.equal((await patch(6, 'world')).status, 202);
  const end = await place.ask(`PUT ${at}?digest=${digestOf(Buffer.from('hello world!'))}`, {
    body: '!',
    headers: octets,
  });
  assert.equal(end.status, 201);

  const empty = Buffer.alloc(0);
  assert.equal(await place.pushBlob('acme/web', empty), digestOf(empty));
  assert.equal((await place.ask(`GET /v2/acme/web/blobs/${digestOf(empty)}`)).body.length, 0);
});

test('a blob of another digest is refused and gone, an upload is cancelled, a digest is one', async () => {
  await using place = await registryPlace();
  const wrong = `sha256:${'0'.repeat(64)}`;
  const { headers } = await place.ask('POST /v2/acme/web/blobs/uploads/');
  const put = await place.ask(`PUT ${headers.location}?digest=${wrong}`, { body: 'x', headers: octets });
  assert.deepEqual([put.status, put.code.split(':')[0]], [400, 'DIGEST_INVALID']);
  assert.equal((await place.ask(`GET ${headers.location}`)).status, 404);
  const other = await place.ask('POST /v2/acme/web/blobs/uploads/');
  assert.match(
    (await place.ask(`PUT ${other.headers.location}?digest=md5:x`, { body: 'x' })).code,
    /want sha256: and 64/,
  );
  assert.equal((await place.ask(`DELETE ${other.headers.location}`)).status, 204);
  assert.equal((await place.ask(`GET ${other.headers.location}`)).status, 404);
  assert.equal((await place.ask('GET /v2/acme/web/blobs/sha256:short')).status, 400);
  assert.match((await place.ask('POST /v2/Acme/web/blobs/uploads/')).code, /^NAME_INVALID/);
  assert.match(
    (await place.ask('POST /v2/nobody/web/blobs/uploads/')).code,
    /^DENIED: .*\(muster customer add nobody\)/,
  );
  assert.equal((await place.ask('POST /v2/everybodys/blobs/uploads/')).status, 202);
});

test('a blob is mounted from another repository, or uploaded where that has none', async () => {
  await using place = await registryPlace();
  const bytes = Buffer.from('shared');
  const digest = await place.pushBlob('acme/one', bytes);
  const mounted = await place.ask(`POST /v2/bolt/two/blobs/uploads/?mount=${digest}&from=acme/one`);
  assert.deepEqual([mounted.status, mounted.headers.location], [201, `/v2/bolt/two/blobs/${digest}`]);
  assert.deepEqual((await place.ask(`GET /v2/bolt/two/blobs/${digest}`)).body, bytes);
  const not = await place.ask(`POST /v2/bolt/two/blobs/uploads/?mount=${digest}&from=acme/none`);
  assert.equal(not.status, 202);
  assert.match(String(not.headers.location), /^\/v2\/bolt\/two\/blobs\/uploads\/[0-9a-f]{32}$/);
  assert.equal((await place.ask(`DELETE /v2/acme/one/blobs/${digest}`)).status, 202);
  assert.equal((await place.ask(`GET /v2/bolt/two/blobs/${digest}`)).status, 200, 'it is still here');
});

test('manifests come in by tag and by digest, and go out as they came', async () => {
  await using place = await registryPlace();
  const { bytes, answer, digest } = await pushArtifact(place, { repository: 'acme/art', reference: 'v1', text: 'one' });
  assert.deepEqual(
    [answer.status, answer.headers.location, answer.headers['docker-content-digest']],
    [201, `/v2/acme/art/manifests/${digest}`, digest],
  );
  for (const reference of ['v1', digest]) {
    const read = await place.ask(`GET /v2/acme/art/manifests/${reference}`);
    assert.deepEqual([read.status, read.body, read.headers['content-type']], [200, bytes, manifestType]);
    const head = await place.ask(`HEAD /v2/acme/art/manifests/${reference}`);
    assert.deepEqual([head.status, head.headers['docker-content-digest']], [200, digest]);
    assert.equal(head.headers['content-length'], String(bytes.length));
  }
  assert.equal((await pushArtifact(place, { repository: 'acme/art', text: 'two' })).answer.status, 201);
  const none = await place.ask('GET /v2/acme/art/manifests/none');
  assert.deepEqual([none.status, none.code.split(':')[0]], [404, 'MANIFEST_UNKNOWN']);

  // oxlint-disable-next-line max-params -- what, under which name, and what it claims to be
  const put = (reference: string, body: Buffer | string, type = manifestType) =>
    place.ask(`PUT /v2/acme/art/manifests/${reference}`, { body, headers: { 'content-type': type } });
  assert.match((await put(`sha256:${'0'.repeat(64)}`, bytes)).code, /^DIGEST_INVALID/);
  assert.match((await put('v2', '{')).code, /^MANIFEST_INVALID: .* not JSON/);
  assert.match((await put('v2', '{"schemaVersion":1}')).code, /^MANIFEST_INVALID/);
  assert.match((await put('v2', bytes, indexType)).code, /^MANIFEST_INVALID: .*want them equal/);
  assert.match((await put('v2', '{}', 'text/plain')).code, /^MANIFEST_INVALID: .*media type is "text\/plain", want/);
  assert.match((await put('-v2', bytes)).code, /^MANIFEST_INVALID: cannot use the tag/);
  const lacking = JSON.stringify({ schemaVersion: 2, manifests: [{ digest: `sha256:${'1'.repeat(64)}`, size: 1 }] });
  assert.match(
    (await put('v2', lacking, indexType)).code,
    /^MANIFEST_BLOB_UNKNOWN: .*not in acme\/art; push that first/,
  );
  assert.equal((await put('v2', Buffer.alloc((4 << 20) + 1))).status, 413);
  assert.match((await put('v2', '['.repeat(4 << 20))).code, /^MANIFEST_INVALID: .* not JSON/);
  const large = JSON.stringify({ ...JSON.parse(bytes.toString()), annotations: { note: 'x'.repeat(3 << 20) } });
  assert.equal((await put('large', large)).status, 201);
  assert.equal((await place.ask('GET /v2/acme/art/manifests/large')).body.toString(), large);
  for (const tag of ['__proto__', 'constructor', 'x'.repeat(128)]) {
    assert.equal((await place.ask(`GET /v2/acme/art/manifests/${tag}`)).status, 404, tag);
    assert.equal((await put(tag, bytes)).status, 201, tag);
    assert.deepEqual((await place.ask(`GET /v2/acme/art/manifests/${tag}`)).body, bytes, tag);
  }
});

test('tags are listed in order, in pages', async () => {
  await using place = await registryPlace();
  assert.match((await place.ask('GET /v2/acme/art/tags/list')).code, /^NAME_UNKNOWN/);
  for (const reference of ['c', 'a', 'b', 'B'])
    await pushArtifact(place, { repository: 'acme/art', reference, text: reference });
  const list = async (query: string) => {
    const { body, headers } = await place.ask(`GET /v2/acme/art/tags/list${query}`);
    return [JSON.parse(body.toString()), headers['link']];
  };
  assert.deepEqual(await list(''), [{ name: 'acme/art', tags: ['B', 'a', 'b', 'c'] }, undefined]);
  assert.deepEqual(await list('?n=2'), [
    { name: 'acme/art', tags: ['B', 'a'] },
    '</v2/acme/art/tags/list?n=2&last=a>; rel="next"',
  ]);
  assert.deepEqual(await list('?n=2&last=a'), [{ name: 'acme/art', tags: ['b', 'c'] }, undefined]);
  assert.deepEqual(await list('?n=0'), [{ name: 'acme/art', tags: [] }, undefined]);
  assert.equal((await place.ask('GET /v2/acme/art/tags/list?n=many')).status, 400);
});

test('what is attached to an image is found by the fallback tag, which clients keep themselves', async () => {
  await using place = await registryPlace();
  const subject = await pushArtifact(place, { repository: 'acme/art', reference: 'v1', text: 'subject' });
  const own = { subject: { mediaType: manifestType, digest: subject.digest, size: subject.bytes.length } };
  const referrer = await pushArtifact(place, { repository: 'acme/art', text: 'signature', own });
  assert.equal(referrer.answer.status, 201);
  assert.equal(referrer.answer.headers['oci-subject'], undefined, 'a registry that says so lists referrers itself');
  assert.equal((await place.ask(`GET /v2/acme/art/referrers/${subject.digest}`)).status, 404);
  const tag = subject.digest.replace(':', '-');
  const entry = { mediaType: manifestType, digest: referrer.digest, size: referrer.bytes.length };
  const body = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [entry] });
  const pushed = await place.ask(`PUT /v2/acme/art/manifests/${tag}`, { body, headers: { 'content-type': indexType } });
  assert.deepEqual([pushed.status, pushed.headers['warning']], [201, undefined]);
  assert.equal((await place.ask(`GET /v2/acme/art/manifests/${tag}`)).body.toString(), body);
  const early = { subject: { ...own.subject, digest: `sha256:${'5'.repeat(64)}` } };
  assert.equal((await pushArtifact(place, { repository: 'acme/art', text: 'early', own: early })).answer.status, 201);
});

test('tags, manifests and blobs are removed', async () => {
  await using place = await registryPlace();
  const { digest, blob } = await pushArtifact(place, { repository: 'acme/art', reference: 'v1', text: 'one' });
  await pushArtifact(place, { repository: 'acme/art', reference: 'v2', text: 'one' });
  assert.match((await place.ask(`DELETE /v2/acme/art/blobs/${blob}`)).code, /^UNSUPPORTED: .*part of the manifest/);
  assert.equal((await place.ask('DELETE /v2/acme/art/manifests/v1')).status, 202);
  assert.equal((await place.ask('GET /v2/acme/art/manifests/v1')).status, 404);
  assert.equal((await place.ask(`GET /v2/acme/art/manifests/${digest}`)).status, 200);
  assert.equal((await place.ask(`DELETE /v2/acme/art/manifests/${digest}`)).status, 202);
  for (const reference of ['v2', digest])
    assert.equal((await place.ask(`GET /v2/acme/art/manifests/${reference}`)).status, 404, reference);
  assert.equal((await place.ask(`DELETE /v2/acme/art/manifests/${digest}`)).status, 404);
  assert.equal((await place.ask(`DELETE /v2/acme/art/blobs/${blob}`)).status, 202);
  assert.equal((await place.ask(`DELETE /v2/acme/art/blobs/${blob}`)).status, 404);
});
