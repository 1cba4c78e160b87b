// A board's place is its own while it is alive: strangers with its address or its MAC get nothing, and its customers run on.
// The real controller, a node with the real agent and leash, and machines of strangers on one bridge.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { Type } from 'typebox';
import { Event } from '../../protocol/api/events.ts';
import type { Node } from '../../protocol/api/nodes.ts';
import { Status } from '../../protocol/api/status.ts';
import { Rig } from '../faults/host/rig.ts';
import { until } from '../until.ts';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { defaultCacheDir } from '../qemu/rack.ts';
import { RackNetwork, rackAddress } from '../qemu/rack-network.ts';
import { endProcess, startTied } from '../qemu/tied-process.ts';
import { Machine } from './machine.ts';

const takePlace = fileURLToPath(new URL('take-place.ts', import.meta.url));
const stack = new AsyncDisposableStack();
let rig: Rig;

before(async () => {
  rig = stack.use(await Rig.create({ name: 'place', nodes: 1, print: () => undefined }));
  // A kernel believes a new owner of an address once the last one is a second old: a board must not be without permits as long.
  await rig.inRack(['sh', '-c', 'echo 0 >/proc/sys/net/ipv4/neigh/br0/locktime']);
});
after(async () => {
  await stack.disposeAsync();
});

test('who takes its address by ARP and asks for its script gets no token, and is named in an event', async () => {
  const board = await theNode();
  const processes = customersProcesses();
  await using stranger = await Machine.plugIn(rig.network, { cable: 'stranger', mac: '02:00:00:00:66:01' });
  await stranger.run('ip', 'address', 'add', `${board.ip}/24`, 'dev', 'eth0');
  assert.deepEqual(await attack(stranger, board), { token: false, session: null });
  const told = await eventOf(board, /two machines use this MAC/);
  assert.match(told, new RegExp(`${board.name} is alive at ${board.ip} .*${board.ip} asks for a boot script`));
  await assertUndisturbed(board, processes);
});

test('a second machine with its MAC gets no address to boot with, and is named in an event', async () => {
  const board = await theNode();
  const processes = customersProcesses();
  await using clone = await Machine.plugIn(rig.network, { cable: 'clone', mac: board.mac });
  // As U-Boot asks, but for the first six seconds only.
  const firmware = ['-V', 'U-Boot.armv8', '-x', '0x5d:0016'];
  const asking = ['busybox', 'udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-t', '3', '-T', '2', '-s', '/bin/true'];
  const { code, stderr } = await clone.exec([...asking, ...firmware], { timeoutMs: 30_000 });
  assert.notEqual(code, 0, stderr);
  assert.match(await eventOf(board, /asks for an address as uboot/), /two machines use this MAC/);
  await assertUndisturbed(board, processes);
});

test('a controller that starts again gives its place to nobody before the board had time to be heard', async () => {
  const board = await theNode();
  await using stranger = await Machine.plugIn(rig.network, { cable: 'stranger', mac: '02:00:00:00:66:01' });
  await stranger.run('ip', 'address', 'add', `${board.ip}/24`, 'dev', 'eth0');
  await rig.controller.kill9();
  await rig.controller.start();
  assert.deepEqual(await attack(stranger, board), { token: false, session: null });
  const { state, bootId, ip } = await theNode();
  assert.deepEqual({ state, bootId, ip }, { state: 'ready', bootId: board.bootId, ip: board.ip });
});

test('two controllers, and a foreign DHCP server, notice each other, and a board that has joined notices nothing', async (t) => {
  const board = await theNode();
  const processes = customersProcesses();
  await using elsewhere = await RackNetwork.create({ boards: 0, port: 0 });
  const move = [
    'ip link set br0 address 02:00:00:00:77:02',
    'ip address flush dev br0',
    'ip address add 10.77.0.2/24 dev br0',
  ];
  assert.equal((await elsewhere.exec(['sh', '-c', move.join(' && ')])).code, 0);
  await rig.inRack([
    'ip',
    'link',
    'add',
    'second',
    'type',
    'veth',
    'peer',
    'name',
    'first',
    'netns',
    `${elsewhere.holderPid}`,
  ]);
  await rig.inRack(['ip', 'link', 'set', 'second', 'master', 'br0', 'up']);
  assert.equal((await elsewhere.exec(['ip', 'link', 'set', 'first', 'master', 'br0', 'up'])).code, 0);
  const directory = await mkdtemp(join(tmpdir(), 'muster-second-'));
  t.after(() => rm(directory, { recursive: true }));
  await using second = new ControllerProcess({
    network: elsewhere,
    address: '10.77.0.2',
    stateDir: join(directory, 'state'),
    cacheDir: defaultCacheDir,
    logPath: join(directory, 'controller.log'),
    flags: [],
  });
  await using foreign = await Machine.plugIn(rig.network, { cable: 'foreign', mac: '02:00:00:00:66:03' });
  await foreign.run('ip', 'address', 'add', '10.77.0.3/24', 'dev', 'eth0');
  const configuration = join(directory, 'udhcpd.conf');
  const leases = join(directory, 'leases');
  await writeFile(leases, '');
  await writeFile(
    configuration,
    `interface eth0\nstart 10.77.0.240\nend 10.77.0.249\nlease_file ${leases}\npidfile ${leases}.pid\n`,
  );
  const udhcpd = await startTied(foreign.inside(['busybox', 'udhcpd', '-f', '-S', configuration]), { stdio: 'ignore' });
  t.after(() => endProcess(udhcpd, 'SIGKILL'));

  await second.start();
  const hears = async (by: ControllerProcess, other: { address: string; kind: string }) =>
    (await by.get('/v1/status', Status)).otherServers?.some(
      ({ address, kind }) => address === other.address && kind === other.kind,
    ) === true;
  await until('the first hears the second', () => hears(rig.controller, { address: '10.77.0.2', kind: 'muster' }));
  await until('the second hears the first', () => hears(second, { address: rackAddress, kind: 'muster' }));
  await until('the second hears the foreign one', () => hears(second, { address: '10.77.0.3', kind: 'dhcp' }));
  for (const [controller, other] of [
    [rig.controller, '10.77.0.2'],
    [second, rackAddress],
  ] as const)
    await isTold(controller, new RegExp(`another Muster controller, ${other}, answers boards`));
  await isTold(second, /another DHCP server, 10\.77\.0\.3, answers on this segment/);
  await assertUndisturbed(board, processes);
  assert.deepEqual(await second.nodes(), []);
});

test('a board that is switched off and on again waits until its old session is silent, and is there', async (t) => {
  const board = await theNode();
  const [node] = rig.nodes;
  assert.ok(node);
  await node.powerOff();
  const startedMs = performance.now();
  await node.powerOn();
  await until('it has joined anew', async () => {
    const { state, bootId } = await theNode();
    return state === 'ready' && bootId !== board.bootId;
  });
  t.diagnostic(`ready ${Math.round(performance.now() - startedMs)} ms after it was switched on`);
  await rig.allRun();
});

/** Takes the address, asks, and gives the address back: what a stranger keeps of it later is the controller's answer. */
async function attack(stranger: Machine, board: Node): Promise<{ token: boolean; session: unknown }> {
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', takePlace];
  const asked = await stranger.exec([...program, board.mac, rackAddress, `${board.ip}`]);
  await stranger.run('ip', 'address', 'flush', 'dev', 'eth0');
  const inBoard = ['nsenter', '--target', `${rig.nodes[0]?.find('agent')}`, '--net'];
  await rig.inRack([...inBoard, 'busybox', 'arping', '-U', '-c', '1', '-I', 'eth0', `${board.ip}`]);
  const { script, session } = JSON.parse(asked.stdout);
  assert.match(script, /^#!ipxe/, 'the stranger was answered, so it had the address');
  return { token: script.includes('muster.token='), session };
}

async function theNode(): Promise<Node> {
  const node = (await rig.controller.nodes()).find(({ mac }) => mac === rig.nodes[0]?.mac);
  assert.ok(node !== undefined);
  return node;
}

function customersProcesses(): number[] {
  return (rig.nodes[0]?.processesOf('acme') ?? []).toSorted((a, b) => a - b);
}

/** Longer than permits last: it is the same boot, and no process of its customers was stopped. */
async function assertUndisturbed(board: Node, processes: number[]): Promise<void> {
  await delay(3_500);
  const { state, bootId, ip } = await theNode();
  assert.deepEqual({ state, bootId, ip }, { state: 'ready', bootId: board.bootId, ip: board.ip });
  assert.ok(processes.length > 0);
  assert.deepEqual(customersProcesses(), processes);
}

/** The newest that matches, when there is one. */
async function eventOf({ mac }: Node, pattern: RegExp): Promise<string> {
  let found: string | undefined;
  await until(`an event that says ${pattern}`, async () => {
    found = (await messages(rig.controller, mac)).split('\n').find((message) => pattern.test(message));
    return found !== undefined;
  });
  return found ?? '';
}

function isTold(controller: ControllerProcess, pattern: RegExp): Promise<void> {
  return until(`an event that says ${pattern}`, async () => pattern.test(await messages(controller, 'dhcp')));
}

async function messages(controller: ControllerProcess, subject: string): Promise<string> {
  const answer = Type.Object({ events: Type.Array(Event) });
  const { events } = await controller.get(`/v1/events?limit=100&subject=${subject}`, answer);
  return events.map(({ message }) => message).join('\n');
}
