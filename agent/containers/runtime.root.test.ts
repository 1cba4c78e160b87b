// Runs `runtime.sandboxed.ts` with real crun in a mount and a network namespace of its own, where cgroup v2 is mounted at
// its usual place whatever the host does (systemd's hybrid, version 1 beside it). Nothing outlives the namespaces.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { killGroup, removeTree } from './customer-group.ts';

const outside = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 none /sys/fs/cgroup
echo $$ >"/sys/fs/cgroup/$GROUP/cgroup.procs"
exec unshare --cgroup -- sh -c "$INSIDE" sh "$@"
`;

const inside = `
set -e
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/agent
echo $$ >/sys/fs/cgroup/agent/cgroup.procs
mount -t tmpfs tmpfs /run
ip link set lo up
ip netns add rack
ip link add rack0 type veth peer name eth0 netns rack
ip address add 10.77.0.50/24 dev rack0
ip link set rack0 up
ip -n rack address add 10.77.0.1/24 dev eth0
ip -n rack link set eth0 up
exec "$@"
`;

const separation = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--'];
const runner = ['--test-reporter=spec', '--test-timeout=60000'];

test('containers run, answer, are stopped and adopted with real crun', { timeout: 300_000 }, (context) => {
  const file = fileURLToPath(new URL('runtime.sandboxed.ts', import.meta.url));
  const unified = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((at) => existsSync(join(at, 'cgroup.controllers')));
  if (unified === undefined) {
    context.skip('cgroup v2 is not mounted here');
    return;
  }
  const group = `muster-containers-${process.pid}`;
  mkdirSync(join(unified, group));
  try {
    // The test runner's own protocol would hide what the inner run says.
    const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      [...separation, 'sh', '-c', outside, 'sh', process.execPath, ...runner, file],
      {
        env: { ...env, GROUP: group, INSIDE: inside },
        encoding: 'utf8',
        timeout: 290_000,
        killSignal: 'SIGKILL',
        maxBuffer: 16 * 2 ** 20,
      },
    );
    process.stdout.write(stdout);
    assert.equal(status, 0, `${stdout}\n${stderr}`);
  } finally {
    killGroup(join(unified, group));
    removeTree(join(unified, group));
  }
});
