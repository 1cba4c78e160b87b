// For tests that would do harm on a host's own control groups and network: a `*.sandboxed.ts` program of tests runs in a
// mount, a network, a PID and a control group namespace of its own. There cgroup v2 is at its usual place whatever the host
// does (systemd's hybrid, version 1 beside it), /run is empty and the network is loopback alone. Nothing outlives them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
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
# Its own: what a test does to it, nobody else sees.
mknod -m 666 /run/null c 1 3
mount --bind /run/null /dev/null
ip link set lo up
${prepare}
# As PID 1 of a board does, it takes leave of whoever is left to it.
"$@" &
wait $!
`;

/** For `prepare`: the node is 10.77.0.50, with one cable to a rack that is a namespace of its own. */
export const rackCable = `
ip netns add rack
ip link add rack0 type veth peer name eth0 netns rack
ip address add 10.77.0.50/24 dev rack0
ip link set rack0 up
ip -n rack address add 10.77.0.1/24 dev eth0
ip -n rack link set eth0 up
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

/**
 * Runs the program and prints what it says; each of its tests is a test of this context, too. Throws where one of them fails;
 * skips where there is no cgroup v2.
 */
export async function runSandboxed(context: TestContext, options: Sandboxed): Promise<void> {
  const { program, prepare, testTimeoutMs, timeoutMs } = options;
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
    const reporters = ['spec', fileURLToPath(new URL('sandbox-reporter.fixture.mjs', import.meta.url))];
    const reporting = reporters.flatMap((reporter, i) => [
      `--test-reporter=${reporter}`,
      `--test-reporter-destination=${i === 0 ? 'stdout' : 'stderr'}`,
    ]);
    const runner = [process.execPath, ...reporting, `--test-timeout=${testTimeoutMs}`];
    const child = spawn('unshare', [...separation, 'sh', '-c', outside, 'sh', ...runner, file], {
      env: { ...env, GROUP: group, INSIDE: inside(prepare) },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const [code, stdout, stderr] = await Promise.all([
      once(child, 'close').then(([status]: unknown[]) => status),
      child.stdout === null ? '' : text(child.stdout),
      child.stderr === null ? '' : text(child.stderr),
      retold(context, child.stdio[3]),
    ]);
    process.stdout.write(stdout);
    assert.equal(code, 0, `the program ended with ${String(code)}: ${stderr}`);
  } finally {
    killGroup(join(unified, group));
    removeTree(join(unified, group));
  }
}

interface Told {
  name: string;
  is: 'begun' | 'passed' | 'skipped' | 'failed';
  why?: string;
}

/** Makes each test that is told of one of the context. Resolves when the teller is gone and all have ended. */
async function retold(context: TestContext, lines: unknown): Promise<void> {
  if (!(lines instanceof Readable)) throw new Error('cannot hear what the tests in the sandbox tell');
  const all: Promise<void>[] = [];
  const open: { name: string; end: PromiseWithResolvers<Told> }[] = [];
  const begin = (name: string): void => {
    const end = Promise.withResolvers<Told>();
    open.push({ name, end });
    const ends = async (inner: TestContext): Promise<void> => {
      const { is, why } = await end.promise;
      if (is === 'failed') throw new Error(why);
      if (is === 'skipped') inner.skip();
    };
    all.push(context.test(name, ends));
  };
  for await (const line of createInterface({ input: lines })) {
    const told: Told = JSON.parse(line);
    const { name, is } = told;
    // One that never began has ended with the test that it is part of.
    if (is === 'begun' || !open.some((each) => each.name === name)) begin(name);
    if (is === 'begun') continue;
    const at = open.findLastIndex((each) => each.name === name);
    open.splice(at, 1)[0]?.end.resolve(told);
  }
  for (const { name, end } of open) end.resolve({ name, is: 'failed', why: 'the program ended in the middle of it' });
  await Promise.all(all);
}
