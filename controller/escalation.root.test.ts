// Runs `escalation.sandboxed.ts` in namespaces of its own, with cgroup v2 at its usual place, a home of root's that is
// made for it, and nothing but loopback for a network. Nothing outlives the namespaces.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { killGroup, removeTree } from '../agent/containers/customer-group.ts';

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
mkdir /sys/fs/cgroup/controller
echo $$ >/sys/fs/cgroup/controller/cgroup.procs
mount -t tmpfs tmpfs /run
mkdir -p -m 700 /run/home/.ssh
echo 'root:x:0:0:root:/run/home:/bin/sh' >/run/passwd
grep -v '^root:' /etc/passwd >>/run/passwd
mount --bind /run/passwd /etc/passwd
ip link set lo up
exec "$@"
`;

const separation = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--'];
const runner = ['--test-reporter=spec', '--test-timeout=90000'];

test('SSH, then power, against real dropbear, control groups and snmpd', { timeout: 280_000 }, (context) => {
  const file = fileURLToPath(new URL('escalation.sandboxed.ts', import.meta.url));
  const unified = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((at) => existsSync(join(at, 'cgroup.controllers')));
  if (unified === undefined) {
    context.skip('cgroup v2 is not mounted here');
    return;
  }
  const group = `muster-escalation-${process.pid}`;
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
        timeout: 270_000,
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
