// For tests that would do harm on a host's own control groups and network: a `*.sandboxed.ts` program of tests runs in a
// mount, a network, a PID and a control group namespace of its own. There cgroup v2 is at its usual place whatever the host
// does (systemd's hybrid, version 1 beside it), /run is empty and the network is loopback alone. Nothing outlives them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { killGroup, removeTree } from './groups/control-group.fixture.ts';

const outside = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 none /sys/fs/cgroup
echo $$ >"/sys/fs/cgroup/$GROUP/cgroup.procs"
exec unshare --cgroup -- sh -c "$INSIDE" sh "$@"
`;

// A group with processes of its own cannot have groups with controllers below it: the tests have one beside the rest.
const inside = (prepare: string) => `
set -e
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/tests
echo $$ >/sys/fs/cgroup/tests/cgroup.procs
mount -t tmpfs tmpfs /run
ip link set lo up
${prepare}
exec "$@"
`;

const separation = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--'];

export interface Sandboxed {
  program: URL;
  /** Lines of sh that run inside before the program. */
  prepare: string;
  /** For each test in it. */
  testTimeoutMs: number;
  /** For the whole program. */
  timeoutMs: number;
}

/** Runs the program and prints what it says. Throws where one of its tests fails; skips where there is no cgroup v2. */
export function runSandboxed(context: TestContext, { program, prepare, testTimeoutMs, timeoutMs }: Sandboxed): void {
  const unified = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((at) => existsSync(join(at, 'cgroup.controllers')));
  if (unified === undefined) {
    context.skip('cgroup v2 is not mounted here');
    return;
  }
  const file = fileURLToPath(program);
  const group = `muster-${basename(file, '.sandboxed.ts')}-${process.pid}`;
  mkdirSync(join(unified, group));
  try {
    // The test runner's own protocol would hide what the inner run says.
    const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
    const runner = [process.execPath, '--test-reporter=spec', `--test-timeout=${testTimeoutMs}`];
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      [...separation, 'sh', '-c', outside, 'sh', ...runner, file],
      {
        env: { ...env, GROUP: group, INSIDE: inside(prepare) },
        encoding: 'utf8',
        timeout: timeoutMs,
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
}
