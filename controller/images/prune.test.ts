import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Image } from '../../protocol/api/images.ts';
import { prunedImages } from './prune.ts';

const hex = (letter: string): string => letter.repeat(64);

function image(name: string, { file, at, before = [] }: { file: string; at: number; before?: string[] }): Image {
  const version = (own: string, importedAt: number) => ({
    digest: hex(own),
    squashfs: { sha256: hex(own), sizeBytes: 10 },
    importedAt,
  });
  const config = { entrypoint: [], cmd: [], env: [], workingDir: '/', user: '0:0' };
  const history = before.map((own, index) => version(own, at - 1 - index));
  return { name, architecture: 'arm64', config, ...version(file, at), history };
}

const images = [
  image('young', { file: 'a', at: 90, before: ['b', 'c'] }),
  image('old', { file: 'd', at: 10 }),
  image('used', { file: 'e', at: 5 }),
  image('twin', { file: 'd', at: 50 }),
];
const files = new Map('abcdef'.split('').map((letter) => [hex(letter), 10]));

const table: [what: string, keepBytes: number, inUse: string, names: string[], gone: string][] = [
  ['nothing where there is room', 60, 'e', [], ''],
  ['first what no name ever stood for', 50, 'e', [], 'f'],
  ['then what names stood for, the oldest first', 35, 'e', [], 'fcb'],
  ['not what an instance still runs', 30, 'ec', ['old', 'twin'], 'fbd'],
  ['then names, the oldest first, and a file with the last of its names', 25, 'e', ['old', 'twin'], 'fcbd'],
  ['all that is not used, and no more', 0, 'e', ['old', 'twin', 'young'], 'fcbda'],
];

for (const [what, keepBytes, inUse, names, gone] of table) {
  test(`prunedImages() removes ${what}`, () => {
    const pruned = prunedImages({
      images,
      files,
      inUse: new Set(inUse.split('').map(hex)),
      used: new Set(['used']),
      keepBytes,
    });
    assert.deepEqual([pruned.names, pruned.files.map((sha256) => sha256[0]).join('')], [names, gone]);
  });
}

test('prunedImages() keeps names where it is told to', () => {
  const inUse = new Set([hex('e')]);
  const pruned = prunedImages({ images, files, inUse, used: new Set(), keepBytes: 0, keepsNames: true });
  assert.deepEqual([pruned.names, pruned.files.map((sha256) => sha256[0]).join('')], [[], 'fcb']);
});
