import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { hardLimits, ociConfig } from './oci-config.ts';

const instance = {
  id: 'web-0a1b2c3d',
  customer: 'acme',
  workload: 'web',
  squashfs: { sha256: '0'.repeat(64), sizeBytes: 1 },
  configuration: '1'.repeat(64),
  args: ['/usr/bin/serve', '--port', '8080'],
  env: ['LANG=C.UTF-8'],
  workingDir: '',
  memoryBytes: 67_108_864,
  cpu: 0.25,
  processes: 64,
  port: { container: 8080, node: 20_000 },
};
const place = {
  uidBase: 200_000,
  user: { uid: 0, gid: 0, groups: [44] },
  nodeName: 'node-c20001',
  rootDirectory: '/run/muster/instances/web-0a1b2c3d/root',
  names: '/run/muster/instances/web-0a1b2c3d/disk/names',
  networkNamespace: '/run/netns/web-0a1b2c3d',
  cgroupRoot: '/sys/fs/cgroup',
  firstProcessFile: '/run/leash/first/acme/web-0a1b2c3d',
  seccomp: { defaultAction: 'SCMP_ACT_ERRNO' },
  controllers: { cpu: true, memory: true, pids: true },
  hardLimits: { openFiles: 4_096, processes: Infinity },
};

test('ociConfig() gives a container its own namespaces, privileges within them alone, and its limits', () => {
  const golden = readFileSync(new URL('oci-config.golden.txt', import.meta.url), 'utf8');
  assert.equal(`${JSON.stringify(ociConfig(instance, place), null, 2)}\n`, golden);
});

test('ociConfig() leaves out limits whose controller the host lacks', () => {
  const { linux } = ociConfig(instance, { ...place, controllers: { cpu: false, memory: false, pids: true } });
  assert.deepEqual(Object(linux).resources, { pids: { limit: 64 } });
});

test('hardLimits() reads proc(5)', () => {
  const text = `Limit                     Soft Limit           Hard Limit           Units
Max processes             96000                unlimited            processes
Max open files            1024                 20000                files
`;
  assert.deepEqual(hardLimits(text), { openFiles: 20_000, processes: Infinity });
});
