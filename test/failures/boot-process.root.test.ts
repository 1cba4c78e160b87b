// The boot process of a real controller: what it may, and what becomes of a board whose boot it dies in.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Type } from 'typebox';
import { Event } from '../../protocol/api/events.ts';
import { Status } from '../../protocol/api/status.ts';
import { until } from '../until.ts';
import { Machine } from '../attacks/machine.ts';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { descendants, gone } from '../qemu/process-table.ts';
import { endProcess, startTied } from '../qemu/tied-process.ts';
import { cacheDir, runningNetwork } from './attempt.ts';

const mac = '02:00:00:00:79:01';
const stack = new AsyncDisposableStack();
let directory: string;
let controller: ControllerProcess;
let board: Machine;
/** The digest that its script names. */
let kernel = '';

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'muster-boot-process-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const network = stack.use(await runningNetwork({ boards: 0 }));
  controller = stack.use(
    new ControllerProcess({
      network,
      stateDir: join(directory, 'state'),
      cacheDir,
      logPath: join(directory, 'controller.log'),
      flags: [],
    }),
  );
  await controller.start();
  board = stack.use(await Machine.plugIn(network, { cable: 'board', mac }));
  const script = join(directory, 'udhcpc.sh');
  await writeFile(
    script,
    '#!/bin/sh\n[ "$1" = bound ] || exit 0\nip address replace "$ip/24" dev eth0\necho "bound $ip"\n',
  );
  await chmod(script, 0o755);
});
after(() => stack.disposeAsync());

/** The one that serves now. */
async function bootProcess(): Promise<number> {
  for (const pid of await descendants(controller.pid)) {
    const [title] = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (title?.trim() === 'muster-boot') return pid;
  }
  return 0;
}

/** As U-Boot asks. */
async function lease(): Promise<string | undefined> {
  const firmware = ['-V', 'U-Boot.armv8', '-x', '0x5d:0016', '-s', join(directory, 'udhcpc.sh')];
  const asking = ['busybox', 'udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-t', '5', '-T', '1', ...firmware];
  const { stdout } = await board.exec(asking, { timeoutMs: 20_000 });
  return /^bound (\S+)/m.exec(stdout)?.[1];
}

async function problems(): Promise<string[]> {
  return (await controller.get('/v1/status', Status)).problems;
}

/** Events of whether boards are served. */
async function said(): Promise<string[]> {
  const { events } = await controller.get('/v1/events?limit=100', Type.Object({ events: Type.Array(Event) }));
  return events.map(({ message }) => message).filter((message) => message.startsWith('boards '));
}

const url = (path: string) => `http://10.77.0.1:8480/${path}`;

test('it is nobody, without rights and without a way to get some, and what the controller knows is closed to it', async () => {
  const pid = await bootProcess();
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const of = (name: string) =>
    new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim().split(/\s+/).join(' ');
  assert.equal(of('Uid'), '65533 65533 65533 65533');
  assert.equal(of('Gid'), '65533 65533 65533 65533');
  assert.equal(of('Groups'), '');
  assert.match(of('CapPrm') ?? '', /^0+$/);
  assert.match(of('CapEff') ?? '', /^0+$/);
  assert.equal(of('NoNewPrivs'), '1');
  const state = join(directory, 'state');
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''); // closed meanwhile
    assert.ok(!target.startsWith(state), target);
  }
  const asIt = ['setpriv', '--reuid=65533', '--regid=65533', '--clear-groups', 'ls', state];
  const { code, stderr } = await board.exec(asIt);
  assert.notEqual(code, 0);
  assert.match(stderr, /Permission denied/);
});

test('killed -9 amid a boot it is back, the operator is told, and the board goes on', async () => {
  const ip = await lease();
  assert.ok(ip !== undefined);
  const former = await bootProcess();
  const script = await board.run('busybox', 'wget', '-q', '-O', '-', url(`boot.ipxe?mac=${mac}`));
  kernel = /kernel\/([0-9a-f]{64})/.exec(script)?.[1] ?? '';
  const file = join(directory, 'kernel');
  const fetching = ['busybox', 'wget', '-q', '-O', file, url(`kernel/${kernel}`)];
  const loading = await startTied(board.inside(fetching), { stdio: 'ignore' });
  await until('its first bytes', async () => (await readFile(file).catch(() => '')).length > 0);
  process.kill(former, 'SIGKILL');
  await until('the next process', async () => ![0, former].includes(await bootProcess()));
  await endProcess(loading, 'SIGKILL');

  await until('boards are served', async () => (await said()).includes('boards are served again'));
  assert.match((await said())[0] ?? '', /^boards are not served: the boot process ended with SIGKILL/);
  assert.deepEqual(await problems(), []);
  assert.equal(await lease(), ip, 'what it had');
  await board.run(...fetching);
  assert.equal(
    createHash('sha256')
      .update(await readFile(file))
      .digest('hex'),
    kernel,
  );
  const again = await board.run('busybox', 'wget', '-q', '-O', '-', url(`boot.ipxe?mac=${mac}`));
  assert.match(again, /muster\.token=[0-9a-f]{64}/);
  await until('its stage', async () => (await controller.nodes()).some((node) => node.mac === mac && node.ip === ip));
  assert.ok(controller.isRunning);
});

test('frozen it is a problem on the screens before it is killed, and its return is said', async () => {
  const former = (await said()).length;
  const pid = await bootProcess();
  process.kill(pid, 'SIGSTOP');
  try {
    await until('the problem', async () => (await problems()).some((each) => each.includes('said nothing for 5 s')));
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await until('its end', async () => (await problems()).length === 0);
  await until('both events', async () => (await said()).length > former + 1);
  const [quiet, again] = (await said()).slice(former);
  assert.match(quiet ?? '', /^boards may wait: /);
  assert.equal(again, 'boards are served again');
  assert.equal(await bootProcess(), pid, 'nobody killed it');
});

test('a board that is fenced gets no kernel from this moment on', async () => {
  const [node] = (await controller.nodes()).filter((each) => each.mac === mac);
  await controller.api(`PATCH /v1/nodes/${node?.name}`, { fenced: true });
  await until('it is refused', async () => {
    const { stdout } = await board.exec(['busybox', 'wget', '-q', '-O', '-', url(`boot.ipxe?mac=${mac}`)]);
    return stdout.includes('gets no system');
  });
  const { stderr } = await board.exec(['busybox', 'wget', '-O', '/dev/null', url(`kernel/${kernel}`)]);
  assert.match(stderr, /403/);
});

test('a controller that dies takes it along, and the next one serves', async () => {
  const pid = await bootProcess();
  await controller.kill9();
  await gone(pid);
  await controller.start();
  assert.ok((await lease()) !== undefined);
});
