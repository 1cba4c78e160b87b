import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { importInProcess } from './import-process.ts';
import { sampleArchives } from './samples.ts';

const { web } = sampleArchives({ busybox: Buffer.alloc(4 << 20, 'busybox'), architecture: 'arm64' });

async function place(archive: Buffer) {
  const path = await mkdtemp(join(tmpdir(), 'muster-import-'));
  const workDirectory = await mkdtemp(join(path, 'work-'));
  const source = join(workDirectory, 'archive');
  await writeFile(source, archive);
  return {
    request: { source, name: 'web', storeDirectory: path, workDirectory, nowMs: 1_700_000_000_000 },
    stored: async () => (await readdir(path)).filter((name) => name.endsWith('.squashfs')),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

/** Programs of this machine that were told that folder. */
async function processesAbout(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(path)) found.push(command.replaceAll('\0', ' '));
  }
  return found;
}

test('an import in a process of its own gives what importImage() gives, and says what it does', async () => {
  await using at = await place(web);
  const steps: string[] = [];
  const image = await importInProcess(at.request, { limitMs: 60_000, onStep: (step) => steps.push(step) });
  assert.deepEqual(steps, ['reading 2 layers of web', 'packing web']);
  assert.deepEqual([image.name, image.config.user, image.importedAt], ['web', 'app', at.request.nowMs]);
  assert.deepEqual(await at.stored(), [`${image.squashfs.sha256}.squashfs`]);
});

test('its refusal is the sentence of importImage()', async () => {
  await using at = await place(Buffer.from('hello'.repeat(200)));
  await assert.rejects(
    importInProcess(at.request, { limitMs: 60_000 }),
    /^Error: cannot read web: .*is it a tar archive/,
  );
});

test('one that takes too long is ended with all that it runs, at any point', async () => {
  await using at = await place(web);
  for (const stage of ['reading', 'packing']) {
    const stop = new AbortController();
    const importing = importInProcess(at.request, {
      limitMs: 60_000,
      signal: stop.signal,
      onStep: (step) => {
        if (step.startsWith(stage)) stop.abort();
      },
    });
    await assert.rejects(importing, { name: 'AbortError' });
    assert.deepEqual(await processesAbout(at.request.workDirectory), []);
  }
  await assert.rejects(
    importInProcess(at.request, { limitMs: 1 }),
    /cannot import web: it took longer than 0.001 s; want fewer files, or fewer hard links/,
  );
  assert.deepEqual(await at.stored(), []);
});
