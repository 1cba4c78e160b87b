// The whole agent with real containers and the real leash, against a controller peer: run by `agent.root.test.ts` in
// namespaces of their own. Not a `.test.ts`, because on a host's own cgroups and network it would do harm.
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import type { DesiredInstance } from '../protocol/api/agent.ts';
import { configurationDigest } from '../protocol/desired-state.ts';
import { killWorkMs, leashSweepMs, permitValidityMs } from '../protocol/timing.ts';
import { writeSeccompProfile } from './containers/oci/seccomp-profile.fixture.ts';
import { plantBusybox, squash } from './containers/cache/busybox-image.fixture.ts';
import { spawnLeash } from '../images/node/leash.fixture.ts';
import { until } from '../test/until.ts';
import { controllerPeer, type ControllerPeer } from './api/controller-peer.fixture.ts';

const groups = '/sys/fs/cgroup/customers';
const fifo = '/run/leash/fifo';
const scratch = mkdtempSync(join(tmpdir(), 'muster-agent-'));
const seccompFile = join(scratch, 'seccomp.json');
const children: ChildProcess[] = [];
let peer: ControllerPeer;
let agent: ChildProcess;
let said = '';

before(async () => {
  writeSeccompProfile(seccompFile);
  mkdirSync(groups, { recursive: true });
  mkdirSync('/run/leash');
  execFileSync('mkfifo', [fifo, '/run/leash/hand']);
  const { leash, hand } = spawnLeash('ignore');
  children.push(leash, hand);
  bundle();
  peer = await controllerPeer();
  agent = startAgent();
});

after(async () => {
  for (const child of children) child.kill('SIGKILL');
  if (existsSync(join(groups, 'cgroup.kill'))) writeFileSync(join(groups, 'cgroup.kill'), '1');
  await peer[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true });
});

/** As on a node: two bundles beside each other. (`--lite-mode` has no WebAssembly, which running from source needs.) */
function bundle(): void {
  for (const [name, entry] of [
    ['agent', 'main.ts'],
    ['telemetry', 'telemetry.ts'],
  ] as const)
    buildSync({
      entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
      outfile: join(scratch, `${name}.mjs`),
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node24',
      logLevel: 'error',
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
}

function startAgent(): ChildProcess {
  const [token] = peer.tokens;
  const flags = {
    api: `${peer.api.host}:${peer.api.port}`,
    udp: `${peer.udp.host}:${peer.udp.port}`,
    fp: peer.fingerprint,
    token: token ?? randomBytes(32).toString('hex'),
    interface: 'rack0',
    'run-dir': '/run/muster',
    'leash-fifo': fifo,
    seccomp: seccompFile,
  };
  const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
  const options = ['--lite-mode', '--max-semi-space-size=1'];
  const child = spawn(process.execPath, [...options, join(scratch, 'agent.mjs'), ...args, '--no-limits'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.on('data', (text: Buffer) => (said += text.toString()));
  children.push(child);
  return child;
}

function image(extraBytes: number): { sha256: string; sizeBytes: number } {
  const root = mkdtempSync(join(scratch, 'root-'));
  plantBusybox(root, ['sh', 'sleep', 'yes', 'echo']);
  for (const folder of ['tmp', 'proc', 'dev', 'sys']) mkdirSync(join(root, folder));
  writeFileSync(join(root, 'ballast'), randomBytes(extraBytes));
  const { bytes, sha256, sizeBytes } = squash(root);
  peer.images.set(sha256, bytes);
  return { sha256, sizeBytes };
}

let serial = 0;
function instance(
  customer: string,
  { squashfs, script }: Pick<DesiredInstance, 'squashfs'> & { script: string },
): DesiredInstance {
  const configuration = { args: ['/bin/sh', '-c', script], env: [], workingDir: '/' };
  const digest = configurationDigest(configuration);
  peer.configurations.set(digest, configuration);
  return {
    id: `web-${(++serial).toString(16).padStart(8, '0')}`,
    customer,
    workload: 'web',
    squashfs,
    configuration: digest,
    uid: 0,
    gid: 0,
    memoryBytes: 64 * 2 ** 20,
    cpu: 1,
    processes: 64,
    port: null,
  };
}

function want(...instances: DesiredInstance[]): void {
  const customers = ['acme', 'bolt', 'cube'].map((name, index) => ({
    name,
    uidBase: 200_000 + index * 65_536,
    memoryBytes: 256 * 2 ** 20,
    processes: 400,
    onSilence: 'stop' as const,
  }));
  peer.desired = { generation: peer.desired.generation + 1, customers, instances };
}

function processesOf(customer: string): string[] {
  const group = join(groups, customer);
  if (!existsSync(group)) return [];
  return readdirSync(group, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('cgroup.procs'))
    .flatMap((file) => (existsSync(join(group, file)) ? readFileSync(join(group, file), 'latin1').split('\n') : []))
    .filter((pid) => pid !== '');
}

const detail = () => `${said}\n${JSON.stringify(peer.reports.at(-1))}`;

function seen(what: string, holds: () => boolean): Promise<void> {
  return until(what, holds, { detail });
}

/** By the last report, the desired instance at that place of the list. */
function isRunning(place: number): boolean {
  const id = peer.desired.instances[place]?.id;
  return peer.reports.at(-1)?.instances.some((each) => each.id === id && each.state === 'running') === true;
}

const may = (customer: string, hold = false) => ({ customer, hold });

test('it joins, runs what is desired and permitted, and says so', async (t) => {
  await seen('a heartbeat', () => peer.heartbeats.length > 0);
  assert.equal(peer.joins.length, 1);
  assert.ok((peer.joins[0]?.facts.cores ?? 0) > 0);
  const squashfs = image(0);
  want(
    instance('acme', { squashfs, script: 'sleep 1000 & sleep 1000' }),
    instance('bolt', { squashfs, script: 'exec sleep 1000' }),
  );
  peer.customers = [may('acme'), may('bolt')];
  await seen('both run', () => peer.reports.at(-1)?.instances.filter(({ state }) => state === 'running').length === 2);
  await seen('processes', () => processesOf('acme').length >= 2 && processesOf('bolt').length === 1);
  const rss = peer.reports.findLast(({ sample }) => sample !== null)?.sample?.agentRssBytes ?? 0;
  t.diagnostic(`agent's RSS ${(rss / 2 ** 20).toFixed(1)} MiB`);
});

test('a killed agent costs no container its life: the next one proves the session and goes on', async (t) => {
  const pids = processesOf('bolt');
  assert.equal(pids.length, 1);
  const killedMs = performance.now();
  const beats = peer.heartbeats.length;
  agent.kill('SIGKILL');
  await once(agent, 'exit');
  agent = startAgent();
  await seen('a heartbeat of it', () => peer.heartbeats.length > beats);
  const awayMs = performance.now() - killedMs;
  t.diagnostic(`back after ${Math.round(awayMs)} ms`);
  assert.equal(peer.joins.at(-1)?.token, undefined);
  const backMs = performance.now();
  await seen('past the old permit', () => performance.now() - backMs > permitValidityMs + 500);
  // Permits bridge two seconds, and not what a busy machine adds to a start.
  if (awayMs < 2_000) assert.deepEqual(processesOf('bolt'), pids);
  await seen('bolt runs', () => processesOf('bolt').length === 1);
});

test('a kill ends every process of the customer and of nobody else, and is acknowledged', async (t) => {
  const bolt = processesOf('bolt');
  peer.customers = [may('bolt')];
  peer.orders = [{ order: 1n, scope: 'acme' }];
  const startMs = performance.now();
  peer.permit();
  await seen('the receipt', () => peer.heartbeats.at(-1)?.receipts[0]?.order === 1n);
  t.diagnostic(`kill to receipt ${(performance.now() - startMs).toFixed(1)} ms`);
  assert.ok((peer.heartbeats.at(-1)?.receipts[0]?.processes ?? 0) >= 2);
  assert.deepEqual(processesOf('acme'), []);
  assert.deepEqual(processesOf('bolt'), bolt);
  await seen('it is reported', () => peer.reports.at(-1)?.instances.some(({ reason }) => reason === 'killed') === true);
  peer.orders = [];
  peer.customers = [may('acme'), may('bolt')];
  await seen('lifted: it runs again', () => processesOf('acme').length >= 2);
});

test('a frozen agent: the leash stops its customers', async () => {
  agent.kill('SIGSTOP');
  const frozenMs = performance.now();
  await seen('all stopped', () => processesOf('acme').length + processesOf('bolt').length === 0);
  const tookMs = performance.now() - frozenMs;
  assert.ok(tookMs < permitValidityMs + leashSweepMs + killWorkMs, `stopped after ${tookMs} ms`);
  agent.kill('SIGCONT');
  await seen('both run again', () => processesOf('acme').length > 0 && processesOf('bolt').length > 0);
});

test('the leash reads every line, also one that comes when it is about to sweep', async () => {
  const log = (): string => readFileSync('/run/leash/log', 'utf8');
  const uptime = (): number => Math.floor(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 100);
  for (let round = 0; round < 10; round++) {
    const customer = `drip_${round}`;
    mkdirSync(join(groups, customer));
    while (!log().includes(` ${customer} killed`)) await pause(1);
    // It swept just now, so its wait of 0.25 s is over about then.
    const atMs = performance.now() + 249 + Math.random() * 4;
    while (performance.now() < atMs) if (atMs - performance.now() > 5) await pause(1);
    appendFileSync(fifo, `${customer} ${uptime() + 300}\n`);
    await until(`the line of ${customer}`, () => log().includes(` ${customer} vouched for`), {
      withinMs: 2_500,
      detail,
    });
    rmdirSync(join(groups, customer));
  }
});

test('silence: stopped in time, but what is held runs on', async () => {
  peer.customers = [may('acme'), may('bolt', true)];
  const beats = peer.heartbeats.length;
  await seen('two answers', () => peer.heartbeats.length >= beats + 2);
  const held = processesOf('bolt');
  peer.answers = false;
  const quietMs = performance.now();
  await seen('stopped', () => processesOf('acme').length === 0);
  assert.ok(performance.now() - quietMs < permitValidityMs + killWorkMs);
  await seen('two more permits’ time', () => performance.now() - quietMs > 3 * permitValidityMs);
  assert.deepEqual(processesOf('bolt'), held);
  await seen('a rejoin', () => peer.joins.length > 2);
  peer.answers = true;
  await seen('it runs again', () => processesOf('acme').length > 0);
});

test('under a log flood, an image fetch and telemetry the thread stays quick', async (t) => {
  const small = image(0);
  const large = image(60e6);
  peer.customers = [may('acme'), may('bolt'), may('cube')];
  want(
    instance('acme', { squashfs: small, script: 'exec sleep 1000' }),
    instance('bolt', { squashfs: small, script: 'exec yes a-line-of-a-log-that-somebody-wrote-in-a-hurry' }),
    instance('cube', { squashfs: large, script: 'exec sleep 1000' }),
  );
  await seen('the flood', () => (peer.reports.at(-1)?.logs.length ?? 0) > 100);
  const tookMs: number[] = [];
  const firstReport = peer.reports.length;
  for (let order = 100n; order < 105n; order += 1n) {
    await seen('it runs', () => isRunning(0));
    peer.customers = [may('bolt'), may('cube')];
    peer.orders = [{ order, scope: 'acme' }];
    const startMs = performance.now();
    peer.permit();
    await seen('the receipt', () => peer.heartbeats.at(-1)?.receipts[0]?.order === order);
    tookMs.push(performance.now() - startMs);
    peer.customers = [may('acme'), may('bolt'), may('cube')];
    await seen('it is reported', () => !isRunning(0));
    peer.orders = [];
    peer.permit();
  }
  const samples = peer.reports.slice(firstReport).flatMap(({ sample }) => sample ?? []);
  const delays = samples.map(({ permitThreadDelayMs }) => permitThreadDelayMs);
  const rss = Math.max(...samples.map(({ agentRssBytes }) => agentRssBytes));
  const worst = (values: number[]): string => Math.max(...values).toFixed(1);
  t.diagnostic(
    `kill to receipt, worst of ${tookMs.length}: ${worst(tookMs)} ms; the thread held up ${worst(delays)} ms at most; RSS ${(rss / 2 ** 20).toFixed(1)} MiB`,
  );
  assert.ok(Math.max(...tookMs) < 2_000);
});

test('what cannot be read or had spoils only itself, and says why', async () => {
  const squashfs = image(0);
  const unknown = { ...instance('acme', { squashfs, script: '' }), configuration: 'e'.repeat(64) };
  const unreadable = Object.assign(instance('acme', { squashfs, script: 'exec sleep 1000' }), { cpu: 'all' });
  want(instance('bolt', { squashfs, script: 'exec sleep 1000' }), unknown, unreadable);
  peer.customers = [may('acme'), may('bolt')];
  await seen('the neighbour runs', () => isRunning(0));
  const told = (place: number): string => {
    const id = peer.desired.instances[place]?.id;
    const found = peer.reports.at(-1)?.instances.find((each) => each.id === id);
    return `${found?.state} ${found?.reason}`;
  };
  await seen('one is told of', () => told(1).startsWith('failed no such configuration; again in '));
  await seen('the other too', () => told(2) === 'failed this agent cannot read it: cpu must be number');
});

test('asked to end it says goodbye and leaves the containers running', async () => {
  const pids = processesOf('bolt');
  agent.kill('SIGTERM');
  const [code] = await once(agent, 'exit');
  assert.equal(code, 0, said);
  assert.deepEqual(processesOf('bolt'), pids);
  await seen('the leash ends them', () => processesOf('bolt').length === 0);
});
