// Restores over what may be there, with real databases; `test/service/upkeep.root.test.ts` does it with a real controller.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { testRack } from '../../inventory/rack.fixture.ts';
import { restore, restoredText } from './restore.ts';

/** A backup, and the audit logs of a controller that went on and of another one. */
async function backedUp(t: TestContext) {
  const [rack, other] = [await testRack(), await testRack()];
  const directory = rack.directory;
  t.after(() => rm(directory, { recursive: true }));
  const kept = join(directory, 'kept');
  const stop = { scope: '*', by: 'ada', targets: [] };
  await rack.inventory.orders.kill({ ...stop, reason: 'before' });
  await rack.inventory.backup(kept);
  for (const name of ['tls-certificate.pem', 'tls-key.pem', 'ssh-key', 'operator-token'])
    await writeFile(join(kept, name), name);
  await rack.inventory.orders.lift({ scope: '*', reason: 'late' });
  await other.inventory.orders.kill({ ...stop, reason: 'another' });
  await rack.inventory[Symbol.asyncDispose]();
  const newer = await readFile(join(directory, 'audit.sqlite'));
  await other.inventory[Symbol.asyncDispose]();
  const foreign = await readFile(join(other.directory, 'audit.sqlite'));
  await rm(other.directory, { recursive: true });
  const over = async (audit: Buffer | undefined) => {
    const stateDirectory = join(directory, `state-${Math.random()}`);
    await mkdir(stateDirectory);
    if (audit !== undefined) await writeFile(join(stateDirectory, 'audit.sqlite'), audit);
    return await restore({ from: kept, stateDirectory, now: rack.now() });
  };
  return { kept, directory, newer, foreign, over };
}

test('restore says loudly that an audit log was lost, and why', async (t) => {
  const { kept, newer, foreign, over } = await backedUp(t);
  const lost = async (audit: Buffer | undefined) => {
    const done = await over(audit);
    const text = restoredText(done);
    assert.equal(text.includes('WARNING: audit.sqlite'), done.lostAudit !== undefined);
    return { why: done.lostAudit, kept: done.keptAudit, text };
  };
  const same = await readFile(join(kept, 'audit.sqlite'));
  for (const [audit, isKept] of [
    [undefined, false],
    [same, true],
    [newer, true],
  ] as const)
    assert.deepEqual({ ...(await lost(audit)), text: '' }, { why: undefined, kept: isKept, text: '' });
  const unreadable = await lost(Buffer.alloc(9_000, 7));
  assert.deepEqual([unreadable.why, unreadable.kept], ['unreadable', false]);
  assert.match(
    unreadable.text,
    /WARNING: audit\.sqlite that was here cannot be read, it is in .*replaced-\S+; customers stopped since may run again\n/,
  );
  const diverging = await lost(foreign);
  assert.deepEqual([diverging.why, diverging.kept], ['diverging', false]);
  assert.match(
    diverging.text,
    /WARNING: audit\.sqlite that was here does not go on from the backup, it is in .*replaced-/,
  );
});

test('restore names the file of a backup that is damaged', async (t) => {
  const { kept, directory } = await backedUp(t);
  const stateDirectory = join(directory, 'empty');
  for (const [name, from] of [
    ['inventory.sqlite', 4_096],
    ['audit.sqlite', 0],
  ] as const) {
    const damaged = join(directory, `damaged-${name}`);
    await cp(kept, damaged, { recursive: true });
    await writeFile(join(damaged, name), (await readFile(join(damaged, name))).fill(7, from));
    await assert.rejects(restore({ from: damaged, stateDirectory, now: 0 }), (error: Error) => {
      assert.ok(error.message.startsWith(`cannot restore ${join(damaged, name)}: it is damaged (`), error.message);
      assert.ok(error.message.endsWith('), want another backup'), error.message);
      assert.equal(error.cause, undefined);
      return true;
    });
  }
});

test('with --json an error is one JSON line', async (t) => {
  const { directory } = await backedUp(t);
  const none = join(directory, 'none');
  const program = fileURLToPath(new URL('main.ts', import.meta.url));
  const told = (...flags: string[]) =>
    new Promise<{ code: unknown; stderr: string }>((resolve) => {
      const args = ['--disable-warning=ExperimentalWarning', program, 'restore', none, ...flags];
      // oxlint-disable-next-line max-params -- execFile calls it so
      execFile(process.execPath, args, (error, _stdout, stderr) => resolve({ code: error?.code, stderr }));
    });
  const json = await told('--json');
  assert.equal(json.code, 1);
  const said: { error: string; code: string } = JSON.parse(json.stderr);
  assert.match(said.error, /^cannot restore .*none: there is no such directory or file, want a directory that muster/);
  assert.equal(said.code, 'failed');
  const plain = await told();
  assert.deepEqual(plain, { code: 1, stderr: `muster: ${said.error}\n` });
});
