// What a hostile customer tries from inside a container, with real crun and the profile of a node: run by
// `hostile.root.test.ts` in namespaces of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DesiredInstance } from '../../protocol/api/agent.ts';
import { configurationDigest, configurationText } from '../../protocol/desired-state.ts';
import { boundMs } from '../../protocol/timing.ts';
import { until as waitUntil } from '../../test/until.ts';
import { plantBusybox, squash } from './cache/busybox-image.fixture.ts';
import { cgroupRoot, endRuntime, testRuntime } from './runtime.fixture.ts';
import { writeSeccompProfile } from './oci/seccomp-profile.fixture.ts';

const stateDir = '/run/muster';
const scratch = mkdtempSync(join(tmpdir(), 'muster-hostile-'));
const seccompFile = join(scratch, 'seccomp.json');
writeSeccompProfile(seccompFile);
const image = makeImage();
const lines: string[] = [];
/** As the controller would send them. */
const configurations = new Map<string, Buffer>();
const runtime = testRuntime({
  stateDir,
  seccompFile,
  configurations,
  fetchSquashfs: (_sha256, { destination }) => copyFile(image.file, destination),
  log: () => undefined,
});
after(async () => {
  await endRuntime(runtime, until);
  rmSync(scratch, { recursive: true });
});

function makeImage(): { sha256: string; sizeBytes: number; file: string } {
  const root = join(scratch, 'root');
  plantBusybox(root, ['sh', 'sleep', 'echo']);
  for (const directory of ['etc', 'tmp']) mkdirSync(join(root, directory));
  const source = fileURLToPath(new URL('hostile.c', import.meta.url));
  execFileSync('cc', ['-O1', '-static', '-o', join(root, 'bin/hostile'), source]);
  return squash(root);
}

function until(what: string, holds: () => boolean): Promise<void> {
  return waitUntil(what, holds, { detail: () => `${JSON.stringify(runtime.reports())}; ${lines.join('; ')}` });
}

function configure(args: string[]): string {
  const configuration = { args, env: [], workingDir: '/' };
  const digest = configurationDigest(configuration);
  configurations.set(digest, Buffer.from(configurationText(configuration)));
  return digest;
}

let serial = 0;
/** Starts one container of each customer with these arguments, and gives their names. */
function run(...wanted: { customer: string; args: string[] }[]): string[] {
  const instances = wanted.map(({ customer, args }): DesiredInstance => ({
    configuration: configure(args),
    id: `web-${(++serial).toString(16).padStart(8, '0')}`,
    customer,
    workload: 'web',
    squashfs: { sha256: image.sha256, sizeBytes: image.sizeBytes },
    uid: 0,
    gid: 0,
    memoryBytes: 256 * 2 ** 20,
    cpu: 1,
    processes: 400,
    port: null,
  }));
  const customers = ['acme', 'globex'].map((name, index) => ({
    name,
    uidBase: 200_000 + index * 65_536,
    memoryBytes: 256 * 2 ** 20,
    processes: 400,
    onSilence: 'stop' as const,
  }));
  lines.length = 0;
  for (const { customer } of wanted) runtime.allowCustomer(customer);
  runtime.apply({ generation: serial, customers, instances });
  return instances.map(({ id }) => id);
}

async function said(line: RegExp): Promise<string> {
  let found: string | undefined;
  await until(`it says ${line}`, () => {
    lines.push(...runtime.takeLogs(10_000).map(({ text }) => text));
    found = lines.find((text) => line.test(text));
    return found !== undefined;
  });
  return found ?? '';
}

const refusals: Record<string, string> = {
  ...Object.fromEntries(
    ['mount', 'cgroup', 'uts', 'ipc', 'user', 'pid', 'net'].flatMap((space) => [
      [`unshare ${space}`, 'EPERM'],
      // No rule lets it through: the default's answer.
      [`clone ${space}`, 'ENOSYS'],
      [`clone user and ${space}`, 'ENOSYS'],
    ]),
  ),
  clone3: 'ENOSYS',
  ...Object.fromEntries(
    'setns mount umount2 pivot_root fsopen open_tree move_mount mount_setattr ptrace add_key keyctl bpf perf_event_open'
      .split(' ')
      .map((call) => [call, 'EPERM']),
  ),
  userfaultfd: 'EPERM',
  io_uring_setup: 'EPERM',
  syslog: 'EPERM',
  'socket packet': 'EAFNOSUPPORT',
  'socket alg': 'EAFNOSUPPORT',
  'socket vsock': 'EAFNOSUPPORT',
  'socket netfilter': 'EPROTONOSUPPORT',
  'socket raw': 'EPERM',
  'socket ping': 'done',
  'socket tcp': 'done',
  'socket unix': 'done',
  'socket route': 'done',
  // What its capabilities do not give it, of docker's own default set two.
  mknod: 'EPERM',
  'mknod of a disk': 'EPERM',
  sethostname: 'EPERM',
  clock_settime: 'EPERM',
  nice: 'EACCES',
  'real time': 'EPERM',
  'a mount’s sysctl': 'EACCES',
  'a sysctl': 'EROFS',
  open_by_handle_at: 'EPERM',
  // And what they do.
  chroot: 'done',
  chown: 'done',
  'mkdir in the group': 'EROFS',
  'cgroup.procs': 'EACCES',
  'more files': 'EPERM',
  fork: 'done',
};

test('root of a container makes no namespaces, mounts and traces, and reads nothing of the node', async () => {
  run({ customer: 'acme', args: ['/bin/hostile', 'refused'] });
  await said(/^fork: /);
  const answers = new Map(lines.map((line) => [line.replace(/: [^:]*$/, ''), line.replace(/^.*: /, '')]));
  for (const [what, answer] of Object.entries(refusals)) assert.equal(answers.get(what), answer, what);
  const secrets = [...answers].filter(([what]) => what.startsWith('/proc/'));
  assert.ok(secrets.length > 5);
  // Empty, or not there at all.
  for (const [what, answer] of secrets) assert.match(answer, /^(0 bytes|E[A-Z]+)$/, what);
});

test('the group of an instance is root’s, and nothing can be made below it', async () => {
  const [id] = run({ customer: 'acme', args: ['/bin/sh', '-c', 'echo up; exec sleep 1000'] });
  await said(/^up$/);
  const group = join(cgroupRoot, 'customers/acme', id ?? '');
  const owners = execFileSync('find', [group, '-not', '-user', '0'], { encoding: 'utf8' });
  assert.equal(owners, '', 'nothing there is given to the container');
  assert.throws(() => mkdirSync(join(group, 'below')), /EAGAIN/);
  const [pid] = readFileSync(join(stateDir, 'first/acme', id ?? ''), 'utf8').split(' ');
  assert.equal(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'sleep\n');
  const limit = ['-U', '-t', pid ?? '', 'cat', '/proc/sys/user/max_user_namespaces'];
  assert.equal(execFileSync('nsenter', limit, { encoding: 'utf8' }), '0\n');
  await runtime.stopCustomer('acme', 'killed').gone;
  await until('the file is gone', () => readdirSync(join(stateDir, 'first/acme')).length === 0);
});

/** What each makes at most where it has no limit but time, and at most here: undefined where memory alone bounds it. */
const dearThings: { kind: string; processes: number; size: number; most?: number; users?: boolean }[] = [
  { kind: 'descriptors', processes: 100, size: 65_536, most: 100 * 1_024 },
  { kind: 'regions', processes: 4, size: 10_000 },
  { kind: 'sparse', processes: 2, size: 4_000 },
  { kind: 'timers', processes: 20, size: 4_096, most: 1_024 },
  { kind: 'signals', processes: 20, size: 4_096, most: 1_024 },
  { kind: 'locks', processes: 2, size: 3_000 },
  { kind: 'watches', processes: 2, size: 2_000 },
  { kind: 'epolls', processes: 4, size: 4_000 },
  { kind: 'passed', processes: 10, size: 10_000, most: 1_024 },
  { kind: 'segments', processes: 4, size: 4_096, most: 256 },
  { kind: 'messages', processes: 4, size: 100_000 },
  { kind: 'undos', processes: 4, size: 2_000, most: 256 },
  { kind: 'files', processes: 4, size: 50_000, most: 1_024 },
  { kind: 'pipes', processes: 20, size: 20_000, most: 16_384 + 20 * 1_024 },
  { kind: 'lenders', processes: 20, size: 10 },
  { kind: 'chain', processes: 1, size: 40 },
  // Root may become any of its users: what is counted for a user is so for each.
  { kind: 'timers', processes: 100, size: 4_096, most: 100 * 1_024, users: true },
  { kind: 'signals', processes: 100, size: 4_096, most: 100 * 1_024, users: true },
  { kind: 'pipes', processes: 100, size: 20_000, users: true },
  { kind: 'passed', processes: 50, size: 10_000, most: 50 * 1_024, users: true },
  { kind: 'epolls', processes: 20, size: 4_000, users: true },
];

test('what is dear to kill is bounded, and dies in time', async () => {
  for (const { kind, processes, size, most, users = false } of dearThings) {
    const counts = [processes, size, Number(users)].map(String);
    run({ customer: 'acme', args: ['/bin/hostile', 'dear', kind, ...counts] });
    const made = Number((await said(/^ready /)).split(' ')[2]);
    const stop = runtime.stopCustomer('acme', 'killed');
    const { afterMs } = await stop.gone;
    console.log(
      `${kind}${users ? ' of many users' : ''}: ${made}, ${stop.processes} processes, gone after ${afterMs.toFixed(0)} ms`,
    );
    if (most !== undefined) assert.ok(made <= most, `${made} ${kind}, want ${most} at most`);
    assert.ok(made > 0, kind);
    assert.ok(afterMs < boundMs, `${kind}: gone after ${afterMs} ms`);
  }
});

test('thousands of groups below a customer’s hold up nobody', async () => {
  const groups = 3_000;
  const names = run(
    { customer: 'acme', args: ['/bin/sleep', '1000'] },
    { customer: 'globex', args: ['/bin/sh', '-c', 'echo up; exec sleep 1000'] },
  );
  await until('both run', () =>
    names.every((id) => runtime.reports().some((one) => one.id === id && one.state === 'running')),
  );
  const group = join(cgroupRoot, 'customers/acme', names[0] ?? '');
  writeFileSync(join(group, 'cgroup.max.descendants'), 'max');
  for (let i = 0; i < groups; i++) mkdirSync(join(group, `below${i}`));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const { afterMs } = await runtime.stopCustomer('acme', 'killed').gone;
  delay.disable();
  const longestMs = delay.max / 1e6;
  console.log(
    `${groups} groups: gone after ${afterMs.toFixed(0)} ms, the thread held for ${longestMs.toFixed(0)} at most`,
  );
  assert.ok(longestMs < afterMs / 2, `the thread was held for ${longestMs} of ${afterMs} ms`);
});
