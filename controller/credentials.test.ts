import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import ssh2 from 'ssh2';
import { loadCredentials, newSshKeys } from './credentials.ts';

test('credentials are made once, kept, and readable by their owner only', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'credentials-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const first = await loadCredentials(directory, { random: randomBytes, address: '10.77.0.1' });
  assert.deepEqual(await loadCredentials(directory, { random: randomBytes, address: '10.77.0.1' }), first);
  assert.match(first.fingerprint, /^[0-9a-f]{64}$/);
  assert.match(first.sshPublicKey, /^AAAAC3NzaC1lZDI1NTE5/);
  assert.equal(statSync(join(directory, 'operator-token')).mode & 0o777, 0o600);
});

test('an empty token of root is made anew, and one that no header can carry is refused', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'credentials-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'operator-token');
  const tokens = new Set<string>();
  for (const text of ['', ' \n', '\n\n']) {
    writeFileSync(path, text);
    const { operatorToken } = await loadCredentials(directory, { random: randomBytes, address: '10.77.0.1' });
    assert.match(operatorToken, /^[0-9a-f]{48}$/);
    assert.equal(
      (await loadCredentials(directory, { random: randomBytes, address: '10.77.0.1' })).operatorToken,
      operatorToken,
    );
    tokens.add(operatorToken);
  }
  assert.equal(tokens.size, 3);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  for (const text of ['two words', 'two\nlines', 'x'.repeat(201), 'törken']) {
    writeFileSync(path, text);
    await assert.rejects(
      loadCredentials(directory, { random: randomBytes, address: '10.77.0.1' }),
      /cannot use .*operator-token: .* remove it/,
    );
  }
});

test('each SSH key that is made can be read: a first start does not fail once in some hundred times', () => {
  for (let i = 0; i < 1_200; i++) {
    const made = newSshKeys();
    for (const text of [made.private, made.public])
      assert.ok(!(ssh2.utils.parseKey(text) instanceof Error), `cannot be read: ${text}`);
  }
});
