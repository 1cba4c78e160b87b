import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../../protocol/seeded-random.fixture.ts';
import { pushedManifest } from './pushed-manifest.ts';
import { RegistryError } from './registry-error.ts';
import { byteRange, contentRange, ownerOf, registryRequest } from './registry-request.ts';

const hex = 'a'.repeat(64);

test('registryRequest() reads each endpoint from its end, whatever the repository is called', () => {
  const table: [path: string, wanted: object][] = [
    ['', { kind: 'base' }],
    [`web/blobs/sha256:${hex}`, { kind: 'blob', repository: 'web', sha256: hex }],
    ['a/b/c/blobs/uploads/', { kind: 'uploads', repository: 'a/b/c' }],
    ['a/blobs/uploads', { kind: 'uploads', repository: 'a' }],
    ['a/blobs/uploads/1f', { kind: 'upload', repository: 'a', id: '1f' }],
    ['blobs/uploads/blobs/uploads/1f', { kind: 'upload', repository: 'blobs/uploads', id: '1f' }],
    ['manifests/manifests/manifests', { kind: 'manifest', repository: 'manifests', reference: { tag: 'manifests' } }],
    [`a/manifests/sha256:${hex}`, { kind: 'manifest', repository: 'a', reference: { sha256: hex } }],
    ['tags/list/tags/list', { kind: 'tags', repository: 'tags/list' }],
    [`a/referrers/sha256:${hex}`, { kind: 'referrers', repository: 'a' }],
    ['a__b.c-d/e--f/tags/list', { kind: 'tags', repository: 'a__b.c-d/e--f' }],
  ];
  for (const [path, wanted] of table) assert.deepEqual(registryRequest(path), wanted, path);
  assert.deepEqual(['web', 'acme/web', 'acme/a/b'].map(ownerOf), ['', 'acme', 'acme']);
});

test('registryRequest() refuses what is none, by the codes of the spec', () => {
  const table: [path: string, code: string][] = [
    ['_catalog', 'UNSUPPORTED'],
    ['tags/list', 'UNSUPPORTED'],
    ['A/tags/list', 'NAME_INVALID'],
    ['../../etc/tags/list', 'NAME_INVALID'],
    ['a//b/tags/list', 'NAME_INVALID'],
    [`${'a'.repeat(101)}/tags/list`, 'NAME_INVALID'],
    ['a/blobs/latest', 'DIGEST_INVALID'],
    [`a/blobs/sha256:${hex.toUpperCase()}`, 'DIGEST_INVALID'],
    [`a/manifests/sha512:${hex}${hex}`, 'DIGEST_INVALID'],
    ['a/manifests/.hidden', 'MANIFEST_INVALID'],
    [`a/manifests/${'t'.repeat(129)}`, 'MANIFEST_INVALID'],
  ];
  for (const [path, code] of table) assert.throws(() => registryRequest(path), { code }, path);
});

test('ranges are read as clients write them, and nothing else', () => {
  assert.deepEqual(contentRange('0-9'), { from: 0, to: 9 });
  assert.deepEqual(contentRange('bytes 5-9/100'), { from: 5, to: 9 });
  for (const text of ['9-5', '-5', '5-', 'bytes=a-b', '1-2,3-4', '']) assert.equal(contentRange(text), undefined, text);
  assert.deepEqual(byteRange('bytes=2-', 10), { from: 2, to: 9 });
  assert.deepEqual(byteRange('bytes=-3', 10), { from: 7, to: 9 });
  assert.deepEqual(byteRange('bytes=0-99', 10), { from: 0, to: 9 });
  assert.equal(byteRange('bytes=10-', 10), 'beyond');
  assert.equal(byteRange('bytes=-0', 10), 'beyond');
  for (const text of ['', 'bytes=-', 'bytes=5-2', 'bytes=1-2,4-5', 'lines=1-2'])
    assert.equal(byteRange(text, 10), undefined, text);
});

test('seeded paths and manifests are taken or refused by a RegistryError', () => {
  const seed = Number(process.env['MUSTER_SEED'] ?? 20_261_202);
  const random = seededRandom(seed);
  const roll = (below: number): number => Math.floor(random() * below);
  const refusedOr = (label: string, read: () => unknown): void => {
    try {
      read();
    } catch (error) {
      assert.ok(error instanceof RegistryError, `${label} of seed ${seed}: ${String(error)}`);
    }
  };
  const words = [
    'a',
    'blobs',
    'uploads',
    'manifests',
    'tags',
    'list',
    '',
    '..',
    '%2f',
    `sha256:${hex}`,
    'sha256:',
    '\0',
    'é',
    'A',
    '-',
  ];
  for (let round = 0; round < 3_000; round += 1) {
    const path = Array.from({ length: roll(8) }, () => words[roll(words.length)]).join('/');
    refusedOr(path, () => registryRequest(path));
  }
  const digest = { digest: `sha256:${hex}`, size: 1 };
  const sound = JSON.stringify({ schemaVersion: 2, config: digest, layers: [digest, digest], subject: digest });
  for (let round = 0; round < 3_000; round += 1) {
    const bytes = Buffer.from(sound);
    for (let change = 0; change < 1 + roll(6); change += 1) bytes[roll(bytes.length)] = 32 + roll(95);
    refusedOr(bytes.toString(), () => pushedManifest(bytes, 'application/vnd.oci.image.manifest.v1+json'));
  }
});
