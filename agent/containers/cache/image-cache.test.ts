import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ImageCache } from './image-cache.ts';

const content = Buffer.alloc(1_000, 'squash');
const sha256 = createHash('sha256').update(content).digest('hex');

for (const { name, squashfs, limitBytes, error } of [
  {
    name: 'another hash',
    squashfs: { sha256: 'a'.repeat(64), sizeBytes: 1_000 },
    limitBytes: 2_000,
    error: `cannot use image ${'a'.repeat(64)}: its sha256 is ${sha256}`,
  },
  {
    name: 'another size',
    squashfs: { sha256, sizeBytes: 999 },
    limitBytes: 2_000,
    error: `cannot use image ${sha256}: 1000 bytes, want 999`,
  },
  {
    name: 'no room',
    squashfs: { sha256, sizeBytes: 1_000 },
    limitBytes: 900,
    error: `cannot keep image ${sha256}: with the images in use it makes 1000 bytes, want at most 900`,
  },
])
  test(`an image with ${name} is refused and leaves nothing behind`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'muster-images-'));
    try {
      const cache = new ImageCache({
        directory,
        limitBytes,
        fetchSquashfs: (_sha256, { destination }) => writeFile(destination, content),
        log: () => undefined,
      });
      const { signal } = new AbortController();
      await assert.rejects(cache.acquire(squashfs, { uidBase: 100_000, signal }), { message: error });
      assert.deepEqual(readdirSync(directory), []);
      assert.equal(cache.sizeBytes(), 0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
