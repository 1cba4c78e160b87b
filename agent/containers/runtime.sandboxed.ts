// The runtime's tests with real crun: run by `runtime.root.test.ts` in namespaces of their own. Not a `.test.ts`, because on
// a host's own cgroups and network they would do harm.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Desired, DesiredCustomer, DesiredInstance } from '../../protocol/api/agent.ts';
import { configurationDigest, configurationText } from '../../protocol/desired-state.ts';
import { boundMs, killWorkMs } from '../../protocol/timing.ts';
import { median } from '../../test/bench/figure.ts';
import { until as waitUntil } from '../../test/until.ts';
import { writeSeccompProfile } from './oci/seccomp-profile.fixture.ts';
import { plantBusybox, squash } from './cache/busybox-image.fixture.ts';
import { readGroup } from './groups/control-group.ts';
import { cgroupRoot, endRuntime, nodeAddress, testRuntime } from './runtime.fixture.ts';
import type { Runtime } from './runtime.ts';

const scratch = mkdtempSync(join(tmpdir(), 'muster-containers-'));
after(() => execFileSync('rm', ['-rf', scratch]));
const image = makeImage();
const seccompFile = join(scratch, 'seccomp.json');
writeSeccompProfile(seccompFile);
const logged: string[] = [];
let stateNumber = 0;
let latest: Runtime | undefined;

function makeImage(): { sha256: string; sizeBytes: number; file: string } {
  const root = join(scratch, 'root');
  plantBusybox(
    root,
    'sh sleep cat id httpd nc wget echo yes stat hostname kill touch unshare mount dd ls ping'.split(' '),
  );
  for (const directory of ['etc', 'www', 'tmp', 'secret']) mkdirSync(join(root, directory));
  writeFileSync(join(root, 'www/index.html'), 'here\n');
  writeFileSync(join(root, 'secret/key'), 'for root alone\n');
  chmodSync(join(root, 'secret/key'), 0o600);
  chmodSync(join(root, 'secret'), 0o700);
  chmodSync(join(root, 'tmp'), 0o1777);
  return squash(root);
}

function freshState(): string {
  return `/run/muster-${++stateNumber}`;
}

function start(stateDir: string): Runtime {
  latest = testRuntime({
    stateDir,
    seccompFile,
    configurations,
    fetchSquashfs: (_sha256, { destination }) => copyFile(image.file, destination),
    log: (text) => logged.push(text),
  });
  return latest;
}

function end(runtime: Runtime): Promise<void> {
  return endRuntime(runtime, until);
}

const customers: Record<string, DesiredCustomer> = Object.fromEntries(
  ['acme', 'globex'].map((name, index) => [
    name,
    { name, uidBase: 200_000 + index * 65_536, memoryBytes: 256 * 2 ** 20, processes: 400, onSilence: 'stop' as const },
  ]),
);

function desired(generation: number, ...instances: DesiredInstance[]): Desired {
  const names = new Set(instances.map(({ customer }) => customer));
  return { generation, customers: Object.values(customers).filter(({ name }) => names.has(name)), instances };
}

let serial = 0;
/** As the controller would send them. */
const configurations = new Map<string, Buffer>();
function configure(args: string[]): string {
  const configuration = { args, env: ['GREETING=hello'], workingDir: '/' };
  const digest = configurationDigest(configuration);
  configurations.set(digest, Buffer.from(configurationText(configuration)));
  return digest;
}

function instance(
  customer: string,
  { script = '', ...given }: Partial<DesiredInstance> & { script?: string },
): DesiredInstance {
  return {
    id: `web-${(++serial).toString(16).padStart(8, '0')}`,
    customer,
    workload: 'web',
    squashfs: { sha256: image.sha256, sizeBytes: image.sizeBytes },
    configuration: configure(['/bin/sh', '-c', script]),
    uid: 0,
    gid: 0,
    memoryBytes: 64 * 2 ** 20,
    cpu: 1,
    processes: 200,
    port: null,
    ...given,
  };
}

const service = 'exec httpd -f -p 80 -h /www';

function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  return waitUntil(what, holds, { detail: () => `${logged.join('; ')}; ${JSON.stringify(latest?.reports())}` });
}

function isRunning(runtime: Runtime, { id }: DesiredInstance): boolean {
  return runtime.reports().some((report) => report.id === id && report.state === 'running');
}

async function running(runtime: Runtime, ...instances: DesiredInstance[]): Promise<void> {
  try {
    await until('instances run', () => instances.every((one) => isRunning(runtime, one)));
  } catch (cause) {
    throw new Error(JSON.stringify(runtime.reports()), { cause });
  }
}

async function get(port: number): Promise<string> {
  const answer = await fetch(`http://${nodeAddress}:${port}/`, { signal: AbortSignal.timeout(2_000) });
  return answer.text();
}

function answers(port: number): Promise<boolean> {
  return get(port).then(
    (text) => text === 'here\n',
    () => false,
  );
}

function processesOf(customer: string): number {
  const group = join(cgroupRoot, 'customers', customer);
  // The runtime removes groups beside this thread.
  if (!existsSync(group)) return 0;
  return readdirSync(group, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .reduce((sum, { name }) => sum + (readGroup(join(group, name, 'cgroup.procs')) ?? '').split('\n').length - 1, 0);
}

function collect(runtime: Runtime, into: string[]): void {
  for (const line of runtime.takeLogs(10_000)) into.push(`${line.stream}: ${line.text}`);
}

test('stopping one customer ends its processes; the other never stops answering', async () => {
  const runtime = start(freshState());
  const acme = instance('acme', { script: service, port: { container: 80, node: 20_000 } });
  const globex = instance('globex', { script: service, port: { container: 80, node: 20_001 }, uid: 0 });
  runtime.allowCustomer('acme');
  runtime.allowCustomer('globex');
  runtime.apply(desired(1, acme, globex));
  await running(runtime, acme, globex);
  await until('both answer', async () => (await answers(20_000)) && (await answers(20_001)));
  const fromRack = execFileSync('ip', [
    'netns',
    'exec',
    'rack',
    process.execPath,
    '--input-type=module',
    '-e',
    `process.stdout.write(await (await fetch('http://${nodeAddress}:20000/')).text())`,
  ]);
  assert.equal(String(fromRack), 'here\n', 'the rack network reaches it');

  let failures = 0;
  let asked = 0;
  const over = new AbortController();
  const asking = (async () => {
    while (!over.signal.aborted) {
      asked++;
      if (!(await answers(20_001))) failures++;
    }
  })();
  const stop = runtime.stopCustomer('acme', 'killed');
  assert.equal(stop.processes, 1);
  const { afterMs } = await stop.gone;
  assert.equal(processesOf('acme'), 0);
  assert.ok(afterMs < killWorkMs, `gone after ${afterMs} ms`);
  await until('the report says killed', () =>
    runtime.reports().some(({ id, state, reason }) => id === acme.id && state === 'stopped' && reason === 'killed'),
  );
  assert.equal(await answers(20_000), false);
  runtime.allowCustomer('acme');
  await until('acme answers again', () => answers(20_000));
  over.abort();
  await asking;
  assert.ok(asked > 5);
  assert.equal(failures, 0, `of ${asked} requests`);
  await end(runtime);
  assert.deepEqual(readdirSync('/run/netns'), ['rack']);
  assert.equal(existsSync('/sys/class/net/br-acme'), false);
});

test('a container is confined as designed', async () => {
  const serve = ['busybox', 'httpd', '-f', '-p', '8480', '-h', scratch];
  const controller = spawn('ip', ['netns', 'exec', 'rack', ...serve], { stdio: 'ignore' });
  const self = createServer().listen(8_479, nodeAddress);
  await until('the controller can be reached by the node', () =>
    fetch('http://10.77.0.1:8480/').then(
      () => true,
      () => false,
    ),
  );
  const runtime = start(freshState());
  const probe = instance('acme', {
    script: `exec 2>&1; id -u; cat /proc/self/uid_map; cat /proc/self/status | while read k v; do case $k in Cap*|NoNewPrivs:|Seccomp:) echo $k $v;; esac; done
     stat -c %u /bin/busybox; cat /secret/key; hostname; cat /etc/hosts; echo $GREETING $MUSTER_CUSTOMER $MUSTER_WORKLOAD $MUSTER_NODE
     echo x > /bin/new && echo writable; dd if=/dev/zero of=/fill bs=1M count=64 2>/dev/null || echo capped
     unshare -n true || echo no-unshare; mount -t tmpfs t /tmp || echo no-mount
     for a in '10.77.0.1 8480' '10.77.0.50 20001' '172.28.1.2 80' '172.28.2.2 80' '10.77.0.50 8479'; do nc -w 1 $a </dev/null && echo reached $a; done
     ls /sys; echo done; sleep 1000`,
  });
  const neighbour = instance('globex', { script: service, port: { container: 80, node: 20_001 } });
  for (const name of ['acme', 'globex']) runtime.allowCustomer(name);
  runtime.apply(desired(1, neighbour, probe));
  await running(runtime, neighbour, probe);
  const lines: string[] = [];
  await until('it has looked around', () => (collect(runtime, lines), lines.includes('stdout: done')));
  const text = lines.join('\n');
  for (const want of [
    /stdout: 0\n/,
    /0 +200000 +65536/,
    /CapEff: 00000000a00405fb/,
    /CapBnd: 00000000a00405fb/,
    /NoNewPrivs: 1/,
    /Seccomp: 2/,
    /for root alone/,
    new RegExp(probe.id),
    /hello acme web node-test/,
    /writable/,
    /capped/,
    /no-unshare/,
    /no-mount/,
  ])
    assert.match(text, want);
  // One of the two addresses in 172.28 is its own, where nobody listens.
  assert.doesNotMatch(text, /reached/);
  controller.kill();
  self.close();
  await end(runtime);
});

test('a fork bomb is stopped', async () => {
  const runtime = start(freshState());
  // It never burns out: a shell that may not fork ends and makes room for another, and the first one clears up after all.
  const command = 'b() { while :; do b & b & done; }; sleep 1000 & b 2>/dev/null & wait';
  const bomb = instance('acme', { script: command, processes: 200 });
  runtime.allowCustomer('acme');
  runtime.apply(desired(1, bomb));
  await until('it has multiplied', () => processesOf('acme') > 50);
  const stop = runtime.stopCustomer('acme', 'killed');
  const { afterMs } = await stop.gone;
  console.log(`fork bomb of ${stop.processes} processes: gone after ${afterMs.toFixed(1)} ms`);
  assert.equal(processesOf('acme'), 0);
  assert.ok(afterMs < 2_000);
  await end(runtime);
});

test('a stop at any moment of a start leaves nothing running', async () => {
  const runtime = start(freshState());
  for (let round = 0; round < 10; round++) {
    const one = instance('acme', { script: 'echo ran; sleep 1000' });
    runtime.allowCustomer('acme');
    runtime.apply(desired(round, one));
    // Spread over a whole start: from the fetch to after it runs.
    await pause(round * 10);
    const { gone } = runtime.stopCustomer('acme', 'killed');
    await gone;
    assert.equal(processesOf('acme'), 0, `round ${round}`);
    await until('it is told as stopped', () =>
      runtime.reports().every(({ state, id }) => id !== one.id || state === 'stopped'),
    );
    assert.equal(processesOf('acme'), 0, `round ${round}, a while later`);
  }
  await end(runtime);
});

/** The `crun run` of an instance, while it lives. */
function crunOf({ id }: DesiredInstance): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).find((pid) => {
    try {
      const [, parent] = /^\d+ \(crun\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? [];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      return Number(parent) === process.pid && command.includes('run') && command.includes(id);
    } catch {
      return false;
    }
  });
}

test('a crun that hangs in the middle of a start delays neither the stop nor the next start', async () => {
  const stateDir = freshState();
  const runtime = start(stateDir);
  let caught = 0;
  for (let round = 0; caught < 3; round++) {
    assert.ok(round < 100, `caught ${caught} starts in the middle`);
    const one = instance('acme', { script: 'sleep 1000' });
    runtime.allowCustomer('acme');
    runtime.apply(desired(round, one));
    await until('crun works, or has worked', () => crunOf(one) !== undefined || isRunning(runtime, one));
    await pause(round % 10);
    const crun = crunOf(one);
    if (crun !== undefined) process.kill(crun, 'SIGSTOP');
    await pause(10);
    const inTheMiddle = crun !== undefined && !existsSync(join(stateDir, 'instances', one.id, 'crun.pid'));
    if (!inTheMiddle && crun !== undefined) process.kill(crun, 'SIGCONT');
    const { afterMs } = await runtime.stopCustomer('acme', 'killed').gone;
    assert.equal(processesOf('acme'), 0);
    if (!inTheMiddle) continue;
    caught++;
    assert.ok(afterMs < boundMs, `gone after ${afterMs} ms`);
    const at = performance.now();
    runtime.allowCustomer('acme');
    await running(runtime, one);
    assert.ok(performance.now() - at < 10_000, 'it did not wait for the crun of before');
  }
  await end(runtime);
});

test('stopped processes (SIGSTOP) die as well', async () => {
  const runtime = start(freshState());
  const one = instance('acme', {
    script: 'for i in 1 2 3; do sleep 1000 & kill -STOP $!; done; echo frozen; wait; sleep 1000',
  });
  runtime.allowCustomer('acme');
  runtime.apply(desired(1, one));
  const lines: string[] = [];
  await until('they are stopped', () => (collect(runtime, lines), lines.includes('stdout: frozen')));
  const stop = runtime.stopCustomer('acme', 'silence');
  assert.ok(stop.processes >= 4);
  await stop.gone;
  assert.equal(processesOf('acme'), 0);
  await end(runtime);
});

test('a flood of output waits for its turn, and disturbs nobody', async () => {
  const runtime = start(freshState());
  const text = '0123456789012345678901234567890123456789';
  const flood = instance('acme', { script: `yes ${text}` });
  const quiet = instance('globex', {
    script: 'echo quiet; i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done',
  });
  for (const name of ['acme', 'globex']) runtime.allowCustomer(name);
  runtime.apply(desired(1, flood, quiet));
  const lines: string[] = [];
  const take = () => {
    for (const { instance: id, stream, text: line } of runtime.takeLogs(1_000)) lines.push(`${id} ${stream}: ${line}`);
  };
  await until('the other is heard beside the flood', () => {
    take();
    return lines.length > 5_000 && lines.includes(`${quiet.id} stdout: tick 3`);
  });
  // Slowed, and nothing of it lost.
  const foreign = lines.filter((line) => !line.startsWith(quiet.id) && line !== `${flood.id} stdout: ${text}`);
  assert.deepEqual(foreign, []);
  // Nobody takes: it does not stand still for that, and what is lost is told with the reason.
  await pause(9_000);
  assert.ok(isRunning(runtime, flood));
  await until('the loss is told', () => {
    take();
    return lines.some((line) =>
      /^\S+ muster: .*[0-9]+ bytes dropped: the controller took no lines meanwhile/.test(line),
    );
  });
  assert.ok(!lines.some((line) => line.startsWith(`${quiet.id} muster:`)), 'the other has lost nothing');
  await end(runtime);
});

test('what exits is started again after a growing pause, and says why', async () => {
  const runtime = start(freshState());
  const one = instance('acme', { script: 'echo once >&2; exit 7' });
  const wrong = instance('acme', { configuration: configure(['/bin/no-such-program']) });
  runtime.allowCustomer('acme');
  runtime.apply(desired(1, one, wrong));
  const seen = new Set<string>();
  runtime.onChange(() => {
    for (const { state, reason } of runtime.reports()) seen.add(`${state}: ${reason}`);
  });
  await until('it was started three times', () =>
    runtime.reports().some(({ id, restarts }) => id === one.id && restarts >= 2),
  );
  assert.ok(seen.has('exited: exited with 7; again in 0.5 s: once'), [...seen].join('\n'));
  assert.ok(seen.has('exited: exited with 7; again in 1 s: once'), [...seen].join('\n'));
  assert.ok(
    [...seen].some((text) => text.startsWith('failed: cannot start:') && text.includes('no-such-program')),
    [...seen].join('\n'),
  );
  const lines: string[] = [];
  collect(runtime, lines);
  assert.ok(lines.includes('stderr: once'));
  await end(runtime);
});

test('the next agent adopts what runs, with its output, and can stop it', async () => {
  const stateDir = freshState();
  const first = start(stateDir);
  const one = instance('acme', { script: 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done' });
  const web = instance('acme', { script: service, port: { container: 80, node: 20_000 } });
  const old = instance('globex', { script: service });
  for (const name of ['acme', 'globex']) first.allowCustomer(name);
  first.apply(desired(1, one, web, old));
  await running(first, one, web, old);
  const lines: string[] = [];
  await until('it ticks', () => (collect(first, lines), lines.includes('stdout: tick 3')));
  const pids = processesOf('acme');
  await first[Symbol.asyncDispose]();
  collect(first, lines);

  assert.equal(await answers(20_000), true, 'it answers while no agent is there');
  const second = start(stateDir);
  await running(second, one, web, old);
  assert.equal(processesOf('acme') >= pids - 1, true);
  second.allowCustomer('acme');
  second.apply(desired(2, one, web));
  const last = lines.filter((line) => line.startsWith('stdout: tick')).length;
  await until('its ticks go on', () => (collect(second, lines), lines.includes(`stdout: tick ${last + 8}`)));
  const ticks = lines.filter((line) => line.startsWith('stdout: tick')).map((line) => Number(line.split(' ')[2]));
  assert.deepEqual(
    ticks,
    ticks.map((_, index) => index + 1),
    'no line is lost or told twice',
  );
  await until('what is no longer wanted goes', () => !second.reports().some(({ id }) => id === old.id));
  assert.equal(second.reports().find(({ id }) => id === web.id)?.restarts, 0);
  await second.stopCustomer('acme', 'killed').gone;
  assert.equal(processesOf('acme'), 0);
  await end(second);
});

test('what the leash killed starts again with the next permit, and is reachable', async () => {
  const runtime = start(freshState());
  const web = instance('acme', { script: service, port: { container: 80, node: 20_000 } });
  runtime.allowCustomer('acme');
  runtime.apply(desired(1, web));
  await until('it answers', () => answers(20_000));
  const group = join(cgroupRoot, 'customers/acme');
  writeFileSync(join(group, 'cgroup.max.descendants'), '0');
  writeFileSync(join(group, 'cgroup.kill'), '1');
  writeFileSync('/sys/class/net/br-acme/flags', '0x1002');
  await until('it is told as silenced', () =>
    runtime.reports().some(({ state, reason }) => state === 'stopped' && reason === 'silence'),
  );
  runtime.allowCustomer('acme');
  await until('it answers again', () => answers(20_000));
  await end(runtime);
});

test('what the leash refused and took back again starts with the next permit', async () => {
  const runtime = start(freshState());
  const first = instance('acme', { script: 'exec sleep 1000' });
  runtime.allowCustomer('acme');
  runtime.apply(desired(1, first));
  await running(runtime, first);
  const limit = join(cgroupRoot, 'customers/acme/cgroup.max.descendants');
  writeFileSync(limit, '0');
  const second = instance('acme', { script: 'exec sleep 1000' });
  runtime.apply(desired(2, first, second));
  await until('the second is refused', () =>
    runtime.reports().some(({ id, reason }) => id === second.id && reason === 'waits for its first permit'),
  );
  writeFileSync(limit, 'max');
  runtime.allowCustomer('acme');
  await running(runtime, second);
  await end(runtime);
});

test('an image with another hash is refused', async () => {
  const runtime = start(freshState());
  const wrong = instance('acme', { script: service, squashfs: { sha256: 'a'.repeat(64), sizeBytes: image.sizeBytes } });
  const missized = instance('acme', { script: service, squashfs: { sha256: 'b'.repeat(64), sizeBytes: 1 } });
  runtime.allowCustomer('acme');
  runtime.apply(desired(1, wrong, missized));
  await until('it is refused', () => runtime.reports().every(({ state }) => state === 'failed'));
  assert.match(runtime.reports()[0]?.reason ?? '', new RegExp(`its sha256 is ${image.sha256}`));
  assert.match(runtime.reports()[1]?.reason ?? '', /want 1;/);
  await end(runtime);
});

test('starts and kills in numbers', async () => {
  const runtime = start(freshState());
  const startsMs: number[] = [];
  const killsMs: number[] = [];
  for (let round = 0; round < 5; round++) {
    // The one before is cleaned up: this one's start is timed alone.
    await until('nothing is left', () => runtime.reports().length === 0);
    const one = instance('acme', { script: service, port: { container: 80, node: 20_000 } });
    runtime.allowCustomer('acme');
    const at = performance.now();
    runtime.apply(desired(round, one));
    await until('it runs', () => isRunning(runtime, one));
    startsMs.push(performance.now() - at);
    const { afterMs } = await runtime.stopCustomer('acme', 'killed').gone;
    killsMs.push(afterMs);
    runtime.apply({ ...desired(round, one), instances: [] });
  }
  const many = Array.from({ length: 30 }, () => instance('acme', { script: 'sleep 1000 & sleep 1000 & wait' }));
  runtime.allowCustomer('acme');
  runtime.apply(desired(100, ...many));
  await running(runtime, ...many);
  const { processes, gone } = runtime.stopCustomer('acme', 'killed');
  const { afterMs } = await gone;
  console.log(
    `start, median of ${startsMs.length}: ${median(startsMs).toFixed(1)} ms; kill: ${median(killsMs).toFixed(1)} ms, worst ${Math.max(...killsMs).toFixed(1)}; ` +
      `30 containers (${processes} processes): ${afterMs.toFixed(1)} ms`,
  );
  await end(runtime);
  console.log([...new Set(logged)].join('\n'));
});
