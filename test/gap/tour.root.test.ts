// The tour of docs/WORKLOADS.md, line by line as it stands there: the real command line, controller, agents and containers.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sampleArchives } from '../../images/customer/samples.ts';
import { Rig } from '../faults/host/rig.ts';

const rootDir = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(rootDir, 'docs/WORKLOADS.md'), 'utf8');
const [, block = ''] = /## A tour\n[^`]*(?:`[^`\n]+`[^`]*)*```sh\n(.*?)```/s.exec(page) ?? [];
const lines = block.split('\n').filter((line) => line !== '');
/** What each must say; a line that is not here must end with 0, as all do. */
const wanted: Record<string, RegExp> = {
  'muster deploy shop/web --image': /shop\/web runs: 2 of web/,
  'muster ps': /shop\/web .* running .* http:/,
  'muster set': /variable MODE set; the rest stays/,
  'muster rollback': /back to revision 1, variable MODE removed/,
  'muster deploy -f shop.yaml --dry-run': /replicas 1 → 2/,
  'muster diff': /^(?!.*→)/s,
  'muster kill': /1\/1|2\/2|stopped/,
};

test('the tour of docs/WORKLOADS.md', { timeout: 500_000 }, async (t) => {
  assert.ok(lines.length > 15, 'the tour is a block of shell after its heading');
  await using rig = await Rig.create({ name: 'tour', nodes: 2, print: () => undefined });
  const directory = mkdtempSync(join(tmpdir(), 'muster-tour-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const samples = join(directory, '.cache/samples/current');
  mkdirSync(samples, { recursive: true });
  // Told to be a board's image; the program in it is this machine's own.
  const { web } = sampleArchives({ busybox: readFileSync('/bin/busybox'), architecture: 'arm64' });
  writeFileSync(join(samples, 'web.tar'), web);
  const env = { ...process.env, MUSTER_URL: rig.controller.url, MUSTER_TOKEN: await rig.controller.token() };
  const shell = async (line: string): Promise<{ code: unknown; said: string }> => {
    const script = `muster() { "${rootDir}cli/muster" "$@"; }\n${line}`;
    const child = spawn('bash', ['-c', script], { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code, said: out + err };
  };
  for (const line of lines)
    await t.test(line, async () => {
      const { code, said } = await shell(line);
      assert.equal(code, 0, said);
      const [, pattern] = Object.entries(wanted).findLast(([begin]) => line.startsWith(begin)) ?? [];
      if (pattern !== undefined) assert.match(said, pattern);
    });
});
