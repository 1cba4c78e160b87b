import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256 } from '../../../images/digest.ts';
import { registryPlace } from './registry.fixture.ts';

test('a push never takes what the disk keeps for orders, and leaves nothing of what was refused', async () => {
  await using place = await registryPlace({ totalBytes: 2 ** 30, customerBytes: 2 ** 30 });
  await mkdir(place.directory);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'muster-registry', place.directory]);
  using _ = { [Symbol.dispose]: () => execFileSync('umount', ['--lazy', place.directory]) };
  const { headers } = await place.ask('POST /v2/acme/web/blobs/uploads/');
  const patch = await place.ask(`PATCH ${headers.location}`, {
    body: randomBytes(20 << 20),
    headers: { 'content-type': 'application/octet-stream' },
  });
  assert.equal(patch.status, 507);
  assert.match(
    patch.code,
    /^DENIED: cannot store it: the disk has \d+ bytes left, which are for orders and logs; remove/,
  );
  assert.deepEqual(await readdir(join(place.directory, 'uploads')), []);
  const { bavail, bsize } = await statfs(place.directory);
  assert.ok(bavail * bsize > 15 << 20);
  const small = randomBytes(1 << 20);
  assert.equal(await place.pushBlob('acme/web', small), `sha256:${sha256(small)}`);
});
