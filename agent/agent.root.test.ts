// Runs `agent.sandboxed.ts` in a mount and a network namespace of its own, where cgroup v2 is at its usual place whatever
// the host does. Nothing outlives the namespaces: the process that holds them is killed with everything in its PID namespace.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const prepare = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add rack0 type veth peer name rack1
ip address add 10.77.0.50/24 dev rack0
ip link set rack0 up
ip link set rack1 up
exec "$@"
`;

test('an agent as a process: join, containers, kill, leash, restart', { timeout: 240_000 }, () => {
  const file = fileURLToPath(new URL('agent.sandboxed.ts', import.meta.url));
  // The test runner's own protocol would hide what the inner run says.
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['--mount', '--net', '--pid', '--fork', '--kill-child', '--', 'sh', '-c', prepare, 'sh'].concat(
      process.execPath,
      '--test-reporter=spec',
      file,
    ),
    { env, encoding: 'utf8', timeout: 230_000, killSignal: 'SIGKILL', maxBuffer: 16 * 2 ** 20 },
  );
  process.stdout.write(stdout);
  assert.equal(status, 0, `${stdout}\n${stderr}`);
});
