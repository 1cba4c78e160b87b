import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CustomerGroup } from './customer-group.ts';

test('only the instance whose group had it is told as out of memory', (context) => {
  const cgroupRoot = mkdtempSync(join(tmpdir(), 'muster-groups-'));
  context.after(() => rmSync(cgroupRoot, { recursive: true }));
  const path = join(cgroupRoot, 'customers/acme');
  const counts = (kills: number) => `low 0\nhigh 0\nmax 17\noom ${kills}\noom_kill ${kills}\noom_group_kill 0\n`;
  const has = (all: number, instances: Record<string, number>) => {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'memory.events'), counts(all));
    for (const [instance, kills] of Object.entries(instances)) {
      mkdirSync(join(path, instance));
      writeFileSync(join(path, instance, 'memory.events'), counts(kills));
    }
  };
  has(4, { web: 1 });
  const group = new CustomerGroup('acme', { cgroupRoot, firstProcessDirectory: cgroupRoot });
  assert.equal(group.settleMemoryKills('old'), 0, 'three were before this agent');
  has(6, { web: 1, db: 0 });
  assert.equal(group.settleMemoryKills('cache'), 2, 'its group is gone, nobody else accounts for them');
  assert.equal(group.settleMemoryKills('other'), 0, 'they were the other’s');
  has(7, { web: 2, db: 0 });
  assert.equal(group.settleMemoryKills('db'), 0, 'the one more is web’s');
  assert.equal(group.settleMemoryKills('web'), 2, 'by its own group');
  has(7, {});
  assert.equal(group.settleMemoryKills('web'), 0);
  rmSync(path, { recursive: true });
  assert.equal(group.settleMemoryKills('web'), 0, 'a host without the controller');
});
