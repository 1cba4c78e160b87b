import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WorkloadPatch, WorkloadSpec } from '../api/workloads.ts';
import { patchedSpec } from './workload-patch.ts';
import { specChanges } from './changes.ts';
import { exactDuration, exactSize, parseDuration, parseSize } from './quantities.ts';

const web: WorkloadSpec = { image: 'web', replicas: 2, port: 80, env: { A: '1', B: '2' }, capabilities: ['CHOWN'] };
const table: [patch: WorkloadPatch, after: WorkloadSpec, changes: string[]][] = [
  [{}, web, []],
  [{ replicas: 0 }, { ...web, replicas: 0 }, ['replicas 2 → 0']],
  [{ capabilities: [] }, { ...web, capabilities: [] }, ['capabilities CHOWN → none']],
  [
    { stopGraceMs: 1_500, port: null },
    { image: 'web', replicas: 2, env: { A: '1', B: '2' }, capabilities: ['CHOWN'], stopGraceMs: 1_500 },
    ['port 80 removed', 'stopGrace 1500ms'],
  ],
  [{ env: { A: null, C: '' } }, { ...web, env: { B: '2', C: '' } }, ['variable C set', 'variable A removed']],
  [
    { env: null },
    { image: 'web', replicas: 2, port: 80, capabilities: ['CHOWN'] },
    ['variable A removed', 'variable B removed'],
  ],
  [
    { env: { A: null, B: null } },
    { image: 'web', replicas: 2, port: 80, capabilities: ['CHOWN'] },
    ['variable A removed', 'variable B removed'],
  ],
  [{ checks: { ready: null } }, { ...web, checks: {} }, []],
  [
    { placement: { labels: { power: 'b' } } },
    { ...web, placement: { labels: { power: 'b' } } },
    ['placement {"labels":{"power":"b"}}'],
  ],
  [{ stopped: true }, { ...web, stopped: true }, ['stopped']],
  [{ stopped: false }, { ...web, stopped: false }, []],
];
test('a patch changes what it names, null takes away, and what changed is said without values', () => {
  for (const [patch, after, changes] of table) {
    const next = patchedSpec(web, patch);
    assert.deepEqual(next, after, JSON.stringify(patch));
    assert.deepEqual(specChanges(web, after), changes, JSON.stringify(patch));
  }
});

test('a check, and where it may run, are replaced whole', () => {
  const before: WorkloadSpec = {
    image: 'web',
    replicas: 1,
    checks: { ready: { tcp: { port: 80 } }, live: { exec: ['true'] } },
    placement: { labels: { power: 'a' }, spread: 'power' },
    update: { maxSurge: 2, drainMs: 1_000 },
  };
  const patch: WorkloadPatch = {
    checks: { ready: { http: { path: '/up' } } },
    placement: { labels: { model: 'C2' } },
    update: { drainMs: 0 },
  };
  assert.deepEqual(patchedSpec(before, patch), {
    image: 'web',
    replicas: 1,
    checks: { ready: { http: { path: '/up' } }, live: { exec: ['true'] } },
    placement: { labels: { model: 'C2' } },
    update: { maxSurge: 2, drainMs: 0 },
  });
});

test('a variable may be called __proto__, and is one like others', () => {
  const env: unknown = JSON.parse('{ "__proto__": "x" }');
  const next = patchedSpec(web, JSON.parse(JSON.stringify({ env: {} }).replace('{}', JSON.stringify(env))));
  assert.ok('env' in next && next.env !== undefined && Object.hasOwn(next.env, '__proto__'));
  assert.equal(Object.getPrototypeOf(next.env), Object.prototype);
});

test('what is written exactly is read to the same', () => {
  for (const value of [0, 1, 999, 1024, 1025, 1536, 2 ** 20, 3 * 2 ** 29, 2 ** 40, 2 ** 40 + 1])
    assert.equal(parseSize(exactSize(value)), value, exactSize(value));
  for (const value of [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000])
    assert.equal(parseDuration(exactDuration(value)), value, exactDuration(value));
  assert.deepEqual([exactSize(2 ** 26), exactSize(3 * 2 ** 29), exactDuration(90_000)], ['64M', '1536M', '90s']);
});
