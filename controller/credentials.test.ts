import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadCredentials } from './credentials.ts';

test('credentials are made once, kept, and readable by their owner only', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'credentials-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const first = await loadCredentials(directory, randomBytes);
  assert.deepEqual(await loadCredentials(directory, randomBytes), first);
  assert.match(first.fingerprint, /^[0-9a-f]{64}$/);
  assert.match(first.sshPublicKey, /^AAAAC3NzaC1lZDI1NTE5/);
  assert.equal(statSync(join(directory, 'operator-token')).mode & 0o777, 0o600);
});
