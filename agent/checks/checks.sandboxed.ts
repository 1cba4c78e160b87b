// Checks of containers by real crun: run by `checks.root.test.ts` in namespaces of their own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { DesiredInstance } from '../../protocol/api/agent.ts';
import { configurationDigest, configurationText } from '../../protocol/desired-state.ts';
import { filledChecks } from '../../protocol/workload/checks.ts';
import type { Checks } from '../../protocol/workload/check-schemas.ts';
import { until as waitUntil } from '../../test/until.ts';
import { plantBusybox, squash } from '../containers/cache/busybox-image.fixture.ts';
import { writeSeccompProfile } from '../containers/oci/seccomp-profile.fixture.ts';
import { endRuntime, testRuntime } from '../containers/runtime.fixture.ts';
import type { Runtime } from '../containers/runtime.ts';
import { watchThreadDelay } from '../thread-delay.ts';

const scratch = mkdtempSync(join(tmpdir(), 'muster-checks-'));
after(() => execFileSync('rm', ['-rf', scratch]));
const image = makeImage();
const seccompFile = join(scratch, 'seccomp.json');
writeSeccompProfile(seccompFile);
const configurations = new Map<string, Buffer>();
const acme = {
  name: 'acme',
  uidBase: 200_000,
  memoryBytes: 512 * 2 ** 20,
  processes: 1_000,
  onSilence: 'stop' as const,
};
let serial = 0;
let stateNumber = 0;
let latest: Runtime | undefined;

function makeImage(): { sha256: string; sizeBytes: number; file: string } {
  const root = join(scratch, 'root');
  plantBusybox(root, 'sh sleep cat httpd grep touch rm test nc'.split(' '));
  for (const directory of ['www', 'tmp']) mkdirSync(join(root, directory));
  writeFileSync(join(root, 'www/index.html'), 'here\n');
  return squash(root);
}

function start(stateDir: string): Runtime {
  const runtime = testRuntime({
    stateDir,
    seccompFile,
    configurations,
    fetchSquashfs: (_sha256, { destination }) => copyFile(image.file, destination),
    log: (text) => console.log(text),
  });
  runtime.allowCustomer('acme');
  latest = runtime;
  return runtime;
}

function end(runtime: Runtime): Promise<void> {
  return endRuntime(runtime, until);
}

function instance({ script, checks }: { script: string; checks: Checks | undefined }): DesiredInstance {
  const filled = filledChecks({ checks, port: 80, healthcheck: undefined });
  const configuration = {
    args: ['/bin/sh', '-c', script],
    env: [],
    workingDir: '/',
    ...(filled !== undefined && { checks: filled }),
  };
  const digest = configurationDigest(configuration);
  configurations.set(digest, Buffer.from(configurationText(configuration)));
  return {
    id: `web-${(++serial).toString(16).padStart(8, '0')}`,
    customer: 'acme',
    workload: 'web',
    squashfs: { sha256: image.sha256, sizeBytes: image.sizeBytes },
    configuration: digest,
    uid: 0,
    gid: 0,
    memoryBytes: 16 * 2 ** 20,
    cpu: 1,
    processes: 20,
    port: null,
  };
}

const apply = (runtime: Runtime, ...instances: DesiredInstance[]) =>
  runtime.apply({ generation: ++serial, customers: [acme], instances });
const reportOf = (runtime: Runtime, { id }: DesiredInstance) => runtime.reports().find((report) => report.id === id);
const until = (what: string, holds: () => boolean) =>
  waitUntil(what, holds, { withinMs: 60_000, detail: () => JSON.stringify(latest?.reports()) });
const service = 'exec httpd -f -p 80 -h /www';

/** Of the processes in the instance's group, as this namespace sees them. */
const processesIn = ({ id }: DesiredInstance): number => {
  try {
    return readFileSync(`/sys/fs/cgroup/customers/acme/${id}/cgroup.procs`, 'latin1').split('\n').length - 1;
  } catch {
    return 0;
  }
};

test('HTTP, TCP and a command say when an instance is ready; the command is confined as the container is', async () => {
  const runtime = start(`/run/muster-${++stateNumber}`);
  const slow = `sleep 1; ${service}`;
  const confined = [
    '/bin/sh',
    '-c',
    'grep -q "^Seccomp:.2" /proc/self/status && grep -q "^NoNewPrivs:.1" /proc/self/status',
  ];
  const cases = [
    instance({ script: slow, checks: undefined }),
    instance({ script: slow, checks: { ready: { http: { path: '/index.html', status: 200 } } } }),
    instance({ script: 'exec sleep 1000', checks: { ready: { exec: confined } } }),
  ];
  const missing = instance({ script: service, checks: { ready: { http: { path: '/nowhere' } } } });
  apply(runtime, ...cases, missing);
  await until('all of them run', () => runtime.reports().every(({ state }) => state === 'running'));
  await until('the three are ready', () => cases.every((one) => reportOf(runtime, one)?.ready === true));
  await until(
    'the fourth says why not',
    () => reportOf(runtime, missing)?.reason === 'not ready: GET /nowhere on port 80: status 404, want 200 to 399',
  );
  assert.equal(reportOf(runtime, missing)?.ready, false);
  await end(runtime);
});

test('one that is not live any more is ended and started again, and says why', async () => {
  const runtime = start(`/run/muster-${++stateNumber}`);
  const live: Checks = { live: { exec: ['/bin/test', '-e', '/tmp/well'], failures: 2, intervalMs: 1_000 } };
  const ill = instance({ script: 'touch /tmp/well; sleep 2; rm /tmp/well; sleep 1000', checks: live });
  apply(runtime, ill);
  const reasons = new Set<string>();
  await until('it is started again', () => {
    const report = reportOf(runtime, ill);
    reasons.add(report?.reason ?? '');
    return (report?.restarts ?? 0) >= 1;
  });
  assert.ok(
    [...reasons].some((reason) => reason.startsWith('is not live any more: /bin/test -e /tmp/well: exited with 1')),
    [...reasons].join('\n'),
  );
  await end(runtime);
});

test('one that ends says its exit code, when it starts again, and its last line', async () => {
  const runtime = start(`/run/muster-${++stateNumber}`);
  const script = 'echo starting; echo "bind: address in use" >&2; exit 3';
  const one = instance({ script, checks: { ready: { exec: ['/bin/true'] } } });
  apply(runtime, one);
  await until(
    'it is told',
    () => reportOf(runtime, one)?.reason === 'exited with 3; again in 1 s: bind: address in use',
  );
  assert.equal(reportOf(runtime, one)?.ready, false);
  await end(runtime);
});

test('a check’s process is the customer’s: it dies by its time limit, and at once with a kill', async () => {
  const runtime = start(`/run/muster-${++stateNumber}`);
  const hangs: Checks = { ready: { exec: ['/bin/sh', '-c', 'sleep 1000'], timeoutMs: 1_500, intervalMs: 1_000 } };
  const one = instance({ script: 'exec sleep 1000', checks: hangs });
  apply(runtime, one);
  await until('the check runs in its group', () => processesIn(one) === 2);
  await until(
    'its time limit is told',
    () => reportOf(runtime, one)?.reason.endsWith('no end within 1500 ms') === true,
  );
  await until('it is gone', () => processesIn(one) === 1);
  await until('the next one runs', () => processesIn(one) === 2);
  const { gone } = runtime.stopCustomer('acme', 'killed');
  const { afterMs } = await gone;
  assert.equal(processesIn(one), 0);
  console.log(`killed with a check under way: gone after ${afterMs.toFixed(1)} ms`);
  await pause(2_000);
  assert.equal(processesIn(one), 0, 'no check brings anything back');
  await end(runtime);
});

test('an agent that is started again takes checks up, and nothing is unready meanwhile', async () => {
  const state = `/run/muster-${++stateNumber}`;
  const one = instance({ script: service, checks: undefined });
  {
    const first = start(state);
    apply(first, one);
    await until('it is ready', () => reportOf(first, one)?.ready === true);
    await first[Symbol.asyncDispose]();
  }
  const second = start(state);
  const seen = new Set<boolean | undefined>();
  await until('it is adopted', () => reportOf(second, one)?.state === 'running');
  for (let looks = 0; looks < 50; looks++) {
    seen.add(reportOf(second, one)?.ready);
    await pause(20);
  }
  assert.deepEqual([...seen], [true]);
  await end(second);
});

test('checks of 40 instances leave the thread that obeys permits its time', { timeout: 200_000 }, async () => {
  const runtime = start(`/run/muster-${++stateNumber}`);
  const often: Checks = {
    ready: { http: { path: '/' }, intervalMs: 500 },
    live: { tcp: {}, intervalMs: 500 },
  };
  const many = Array.from({ length: 40 }, () => instance({ script: service, checks: often }));
  apply(runtime, ...many);
  await waitUntil('all are ready', () => many.every((one) => reportOf(runtime, one)?.ready === true), {
    withinMs: 150_000,
  });
  using delay = watchThreadDelay();
  const before = process.cpuUsage();
  delay.worstMs();
  await pause(5_000);
  const worstMs = delay.worstMs();
  const { user, system } = process.cpuUsage(before);
  console.log(
    `40 instances, checked by HTTP and TCP twice a second each: thread late by ${worstMs.toFixed(1)} ms at most, ${((user + system) / 50_000).toFixed(1)} % of a core`,
  );
  assert.ok(worstMs < 250, `late by ${worstMs} ms`);
  assert.ok(many.every((one) => reportOf(runtime, one)?.ready === true));
  await end(runtime);
  assert.deepEqual(readdirSync('/run/netns'), []);
});
