// The controller's escalation against the real thing: dropbear as the board's SSH, control groups with real processes,
// snmpd as the PDU, and for the agent a peer that speaks the protocol and never acknowledges. Run by `escalation.root.test.ts`
// in namespaces of its own. Not a `.test.ts`, because on a host's own control groups it would do harm.
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { errorChain } from '../../protocol/error-chain.ts';
import { killGroup, removeTree } from '../../agent/containers/groups/control-group.fixture.ts';
import { isGroupPopulated } from '../../agent/containers/groups/control-group.ts';
import { openInventory, type Inventory } from '../../inventory/inventory.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import { joinBoard, placeWeb } from '../../inventory/rack.fixture.ts';
import { orderTimeline } from '../api/views.ts';
import type { KillNode } from '../../protocol/api/orders.ts';
import type { Mac } from '../../protocol/mac.ts';
import { testHeartbeat } from '../../protocol/heartbeat.fixture.ts';
import { encodeHeartbeat } from '../../protocol/roll-call.ts';
import { heartbeatIntervalMs, killResendMs, stopsByItselfMs } from '../../protocol/timing.ts';
import { newSshKeys } from '../credentials.ts';
import { startEscalation, type Escalation } from './escalation.ts';
import { giveKillOrder } from './kill-order.ts';
import { createNodeShell } from './node-shell.ts';
import type { Feed } from '../power/configuration.ts';
import { startPdu, v3, type Pdu } from '../power/pdu.fixture.ts';
import { startPower } from '../power/power.ts';
import { snmpDriver } from '../power/snmp.ts';
import { startRollCall, type LocalRollCall } from './roll-call/roll-call.ts';
import { until } from '../../test/until.ts';

const groups = '/sys/fs/cgroup/customers';
const pduAddress = '127.0.0.9';
const keys = newSshKeys();

let dropbear: ChildProcess;
let hostKey = '';
let pdu: Pdu;

before(async () => {
  mkdirSync(groups);
  writeFileSync('/run/home/.ssh/authorized_keys', `${keys.public}\n`, { mode: 0o600 });
  const said = execFileSync('dropbearkey', ['-t', 'ed25519', '-f', '/run/host_key'], { encoding: 'utf8' });
  hostKey = /^ssh-ed25519 \S+/m.exec(said)?.[0] ?? '';
  // One for all boards of these tests, which have addresses of loopback.
  dropbear = spawn('dropbear', ['-F', '-E', '-s', '-r', '/run/host_key', '-p', '0.0.0.0:22', '-P', '/run/ssh.pid'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  assert.ok(dropbear.stderr !== null);
  await once(dropbear.stderr, 'data');
  dropbear.stderr.resume();
  pdu = await startPdu(pduAddress, 4);
});
after(async () => {
  dropbear.kill();
  await pdu[Symbol.asyncDispose]();
});

/** Speaks as an agent does, and acknowledges nothing. It talks while its outlet is on. */
class Board {
  readonly mac: Mac;
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;

  constructor({ mac, port, session, key, isPowered }: Speaker) {
    this.mac = mac;
    this.#socket = createSocket('udp4');
    let sequence = 0n;
    const beat = () => {
      if (!isPowered()) return;
      const heartbeat = testHeartbeat({ session, sequence: ++sequence, nonce: randomBytes(16) });
      this.#socket.send(encodeHeartbeat(heartbeat, key), port, '127.0.0.1');
    };
    this.#timer = setInterval(beat, heartbeatIntervalMs);
    beat();
  }

  fallSilent(): void {
    clearInterval(this.#timer);
  }

  end(): void {
    this.fallSilent();
    this.#socket.close();
  }
}

interface Speaker {
  mac: Mac;
  port: number;
  session: Buffer;
  key: Buffer;
  isPowered: () => boolean;
}

interface Rig {
  inventory: Inventory;
  rollCall: LocalRollCall;
  boards: Board[];
  escalation: Escalation;
  /** Another controller process in the place of this one, on the same store. */
  again: (options?: { feeds?: Feed[] }) => void;
  kill: (scope: string) => Promise<OrderDocument>;
}

interface RigOptions {
  /** `hostKey` of each board: the right one, or another. */
  boards?: (string | null)[];
  feeds?: Feed[];
  onSilence?: 'stop' | 'hold';
  /** The outlet that really feeds the boards, whatever the configuration says. */
  outlet?: number;
}

const feed = (outlet: number, ...slots: number[]): Feed => ({
  pdu: 'left',
  outlet: String(outlet),
  slots: new Set(slots),
  nodes: new Set(),
});

async function rig(
  t: TestContext,
  { boards: keysOf = [hostKey], outlet = 2, onSilence = 'stop', ...rest }: RigOptions = {},
) {
  for (let each = 1; each <= 4; each++) pdu.press(each, 'on');
  const directory = await mkdtemp(join(tmpdir(), 'muster-escalation-'));
  const inventory = await openInventory({ directory, now: Date.now, random: randomBytes });
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const now = () => performance.now();
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => failures.push(error);
  const rollCall = startRollCall({ socket, inventory, now, wallClock: Date.now, nextTurn, onFailure });
  const escalationOf = ({ feeds = [feed(2, 1)] }: { feeds?: Feed[] } = rest) =>
    startEscalation({
      inventory,
      rollCall,
      shell: createNodeShell(keys.private),
      power: startPower(
        { automatic: true, pdus: new Map([['left', pdu.configuration]]), feeds },
        { boards: () => inventory.nodes.all() },
      ),
      now,
      onFailure,
    });
  const it: Rig = {
    inventory,
    rollCall,
    boards: [],
    escalation: escalationOf(),
    again: (options) => {
      void it.escalation[Symbol.asyncDispose]();
      it.escalation = escalationOf(options);
    },
    kill: async (scope) => {
      const order = await giveKillOrder({ inventory, rollCall }, { scope, reason: 'test', by: 'operator' });
      assert.ok('number' in order);
      return order;
    },
  };
  const timer = setInterval(() => {
    void rollCall.pursue();
    it.escalation.pursue();
  }, killResendMs);
  t.after(async () => {
    clearInterval(timer);
    for (const board of it.boards) board.end();
    await it.escalation[Symbol.asyncDispose]();
    socket.close();
    await inventory[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
    await emptyGroups();
    assert.deepEqual(failures, []);
  });

  for (const [index, sshHostKey] of keysOf.entries()) {
    const mac = `02:00:00:c2:00:0${index + 1}`;
    const credentials = await joinBoard(inventory, { mac, ip: `127.0.0.${index + 11}`, sshHostKey });
    const isPowered = () => pdu.state(outlet) === '1';
    it.boards.push(new Board({ mac, port: socket.address().port, ...credentials, isPowered }));
  }
  await until('all boards are ready', () => inventory.nodes.all().every(({ state }) => state === 'ready'));
  const nodes = it.boards.map(({ mac }) => mac);
  for (const customer of ['acme', 'bolt']) await placeWeb(inventory, { customer, nodes, onSilence });
  return it;
}

interface Entry {
  order: OrderDocument;
  /** Of the board. */
  index?: number;
}

function entry({ inventory }: Rig, { order, index = 0 }: Entry): KillNode {
  const mac = `02:00:00:c2:00:0${index + 1}`;
  const found = orderTimeline(inventory, order.number)?.timeline.find((each) => each.mac === mac);
  assert.ok(found !== undefined);
  return found;
}

async function withEvidence(it: Rig, { order, index = 0 }: Entry): Promise<KillNode> {
  await until(`order ${order.number} has evidence`, () => entry(it, { order, index }).evidence !== null, {
    withinMs: 40_000,
    detail: () => JSON.stringify(entry(it, { order, index })),
  });
  return entry(it, { order, index });
}

/** What the first attempt by SSH ran into; a slow machine stores it after the first step of the power. */
function failureOfSsh({ escalation }: KillNode): string {
  return escalation.find(({ by, outcome }) => by === 'ssh' && outcome === 'failed')?.detail ?? '';
}

const outcomes = ({ escalation }: KillNode) => escalation.map(({ by, outcome }) => `${by} ${outcome}`);

async function eventsOf({ inventory }: Rig, subject: string): Promise<string> {
  // Written behind the call.
  await pause(300);
  const events = await inventory.events.list({ limit: 100, subject });
  return events.map(({ message }) => message).join('\n');
}

/** Of `acme/web-1`, as the agent would have started them: one group an instance, below the customer's. */
function processes(instance: string, script: string): ChildProcess {
  const group = join(groups, instance);
  mkdirSync(group, { recursive: true });
  return spawn('sh', ['-c', `echo $$ >${group}/cgroup.procs; ${script}`], { stdio: 'ignore' });
}

function populated(customer: string): boolean {
  const events = join(groups, customer, 'cgroup.events');
  return existsSync(events) && readFileSync(events, 'utf8').includes('populated 1');
}

async function emptyGroups(): Promise<void> {
  killGroup(groups);
  await until('the groups are empty', () => !isGroupPopulated(groups));
  for (const group of readdirSync(groups, { withFileTypes: true }))
    if (group.isDirectory()) removeTree(join(groups, group.name));
}

test('a board that talks and does not acknowledge: SSH empties the customer, and nobody else', async (t) => {
  const it = await rig(t, { feeds: [] });
  execFileSync('ip', ['link', 'add', 'br-acme', 'type', 'bridge']);
  execFileSync('ip', ['link', 'set', 'br-acme', 'up']);
  t.after(() => execFileSync('ip', ['link', 'delete', 'br-acme']));
  const children = [
    processes('acme/web-00000001', 'trap "" TERM INT HUP; sleep 1000 & sleep 1000 & wait; wait'),
    processes('acme/web-00000001/nested/deeper', 'exec sleep 1000'),
    processes('acme/web-00000002', 'kill -STOP $$'),
    processes('bolt/web-00000003', 'exec sleep 1000'),
  ];
  await until('all run', () => populated('acme') && populated('bolt'));
  mkdirSync(join(groups, 'acme', 'web-0000000a'));
  const order = await it.kill('acme');
  const node = await withEvidence(it, { order });
  assert.equal(node.evidence, 'ssh', JSON.stringify(node));
  assert.equal(node.escalation.at(-1)?.outcome, 'stopped');
  assert.ok(node.processes >= 4, `${node.processes} processes`);
  assert.ok((node.evidenceAfterMs ?? 0) >= 1_500);
  assert.equal(populated('acme'), false);
  assert.equal(readFileSync(join(groups, 'acme/cgroup.max.descendants'), 'utf8').trim(), '0');
  assert.deepEqual(
    readdirSync(join(groups, 'acme'), { withFileTypes: true }).filter((each) => each.isDirectory()),
    [],
    'no group is left for a start under way',
  );
  assert.throws(() => mkdirSync(join(groups, 'acme', 'web-0000000b')), /EAGAIN/);
  assert.equal(Number(readFileSync('/sys/class/net/br-acme/flags', 'utf8')) & 1, 0, 'its bridge is down');
  assert.equal(populated('bolt'), true);
  assert.equal(it.inventory.nodes.get(it.boards[0]?.mac ?? '')?.fenced, false);
  console.log(`SSH: acknowledged ${node.evidenceAfterMs} ms after the order`);
  for (const child of children) child.kill('SIGKILL');
});

test('everything: all customers, and groups that no agent made', async (t) => {
  const it = await rig(t, { feeds: [] });
  processes('acme/web-00000001', 'exec sleep 1000');
  processes('bolt/web-00000002', 'exec sleep 1000');
  processes('Not-Ours/x', 'exec sleep 1000');
  await until('all run', () => ['acme', 'bolt', 'Not-Ours'].every(populated));
  const node = await withEvidence(it, { order: await it.kill('*') });
  assert.equal(node.evidence, 'ssh', JSON.stringify(node));
  assert.ok(!['acme', 'bolt', 'Not-Ours'].some(populated));
});

test('a board that runs nothing of the customer has nothing to stop', async (t) => {
  const it = await rig(t, { feeds: [] });
  const node = await withEvidence(it, { order: await it.kill('acme') });
  assert.deepEqual([node.evidence, node.processes], ['ssh', 0]);
});

test('a wrong host key is refused; then its bank is switched off, it is fenced, and its neighbour is named', async (t) => {
  const other = newSshKeys().public.split(' ').slice(0, 2).join(' ');
  const it = await rig(t, { boards: [other, null], feeds: [feed(2, 1, 2)] });
  it.boards[1]?.fallSilent();
  processes('acme/web-00000001', 'exec sleep 1000');
  const order = await it.kill('acme');
  const node = await withEvidence(it, { order });
  assert.equal(node.evidence, 'power', JSON.stringify(node));
  assert.equal(pdu.state(2), '2');
  assert.deepEqual([pdu.state(1), pdu.state(3)], ['1', '1'], 'no other outlet was touched');
  const seen = outcomes(node);
  assert.ok(seen.includes('ssh failed') && !seen.includes('ssh stopped'), seen.join(', '));
  assert.deepEqual(
    seen.filter((each) => each.startsWith('power')),
    ['power tried', 'power stopped'],
  );
  assert.match(failureOfSsh(node), /cannot reach 02:00:00:c2:00:01 .*host/i);
  assert.match(node.escalation.at(-1)?.detail ?? '', /left 2 is off; node-c20002 lose/);
  assert.ok((node.evidenceAfterMs ?? 0) >= stopsByItselfMs);
  const [mac, neighbour] = it.boards.map((board) => board.mac);
  assert.equal(it.inventory.nodes.get(mac ?? '')?.fenced, true);
  assert.deepEqual(await it.inventory.nodes.issueJoinToken(mac ?? ''), { refused: 'node-c20001 is fenced' });
  assert.match(await eventsOf(it, mac ?? ''), new RegExp(`fenced: its power was cut by order ${order.number}`));
  // The neighbour has done nothing wrong, and is not kept out.
  assert.match((await withEvidence(it, { order, index: 1 })).evidence ?? '', /^(silence|power)$/);
  assert.equal(it.inventory.nodes.get(neighbour ?? '')?.fenced, false);
  assert.match(
    await eventsOf(it, neighbour ?? ''),
    /loses its power: node-c20001 on left 2 does not acknowledge order/,
  );
  console.log(`power: acknowledged ${node.evidenceAfterMs} ms after the order`);
});

test('what outlives its kill is told, and power ends it', async (t) => {
  // What hangs in the kernel cannot be made here at will. A group that cannot be removed is as good.
  const stuck = join(groups, 'acme', 'web-00000001');
  mkdirSync(stuck, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', stuck]);
  t.after(() => execFileSync('umount', [stuck]));
  const it = await rig(t);
  const node = await withEvidence(it, { order: await it.kill('acme') });
  assert.equal(node.evidence, 'power', JSON.stringify(node));
  assert.match(failureOfSsh(node), /processes of acme outlive their kill/);
});

test('an outlet that is off while its board goes on talking is no evidence', async (t) => {
  const it = await rig(t, { boards: [null], outlet: 3 });
  const order = await it.kill('acme');
  await until('the attempt failed', () => outcomes(entry(it, { order })).includes('power failed'));
  const node = entry(it, { order });
  assert.equal(node.evidence, null);
  assert.match(
    node.escalation.find(({ by, outcome }) => by === 'power' && outcome === 'failed')?.detail ?? '',
    /wrong outlet/,
  );
  assert.match(node.escalation[0]?.detail ?? '', /gave no host key/);
  assert.match(await eventsOf(it, node.mac), /the configuration names a wrong outlet/);
  assert.equal(it.inventory.nodes.get(node.mac)?.fenced, true, 'it is kept out all the same');
});

test('a silent board counts as stopped by its silence, untouched; one whose customer holds loses its power', async (t) => {
  await t.test('stop', async (inner) => {
    const it = await rig(inner, { boards: [null] });
    it.boards[0]?.fallSilent();
    const node = await withEvidence(it, { order: await it.kill('acme') });
    assert.equal(node.evidence, 'silence', JSON.stringify(node));
    assert.ok(!outcomes(node).some((each) => each.startsWith('power')), outcomes(node).join(', '));
    assert.equal(pdu.state(2), '1');
  });
  await t.test('hold', async (inner) => {
    const it = await rig(inner, { boards: [null], onSilence: 'hold' });
    it.boards[0]?.fallSilent();
    const node = await withEvidence(it, { order: await it.kill('acme') });
    assert.equal(node.evidence, 'power', JSON.stringify(node));
    assert.equal(pdu.state(2), '2');
    assert.equal(it.inventory.nodes.get(node.mac)?.fenced, true);
  });
});

test('a controller that is replaced in the middle of a cut takes it up again', async (t) => {
  const stuck = join(`/run/pdu-${pduAddress}`, 'outlet.2.stuck');
  const it = await rig(t, { boards: [null] });
  // The PDU takes the command and does nothing yet.
  writeFileSync(stuck, '');
  t.after(() => rmSync(stuck, { force: true }));
  const order = await it.kill('acme');
  await until('the cut has begun', () => outcomes(entry(it, { order })).includes('power tried'));
  it.again();
  rmSync(stuck);
  const node = await withEvidence(it, { order });
  assert.equal(node.evidence, 'power', JSON.stringify(node));
  assert.equal(it.inventory.nodes.get(node.mac)?.fenced, true);
});

const request = (outlet: string) => ({ outlets: [outlet], boards: [], order: null });
for (const security of [
  { version: '1' as const, community: 'private' },
  { version: '2c' as const, community: 'private' },
  v3,
])
  test(`SNMP version ${security.version}: an outlet is switched off and on, and read back`, async () => {
    const driver = snmpDriver({ ...pdu.configuration, security });
    pdu.press(4, 'on');
    assert.equal(await driver.isOff(request('4')), false);
    await driver.turn('off', request('4'));
    assert.equal(pdu.state(4), '2');
    assert.equal(await driver.isOff(request('4')), true);
    await driver.turn('on', request('4'));
    assert.deepEqual([pdu.state(4), await driver.isOff(request('4'))], ['1', false]);
    await assert.rejects(driver.isOff(request('9')), (error) => /outlet 9: NoSuch/.test(errorChain(error)));
  });

test('SNMP: wrong secrets, nobody there, and nonsense fail in one sentence, in time', async (t) => {
  const nonsense = createSocket('udp4');
  nonsense.bind(161, '127.0.0.8');
  await once(nonsense, 'listening');
  t.after(() => nonsense.close());
  let answers = 0;
  nonsense.on('message', (bytes, from) => {
    // The question itself as an answer, cut short, changed, or nothing like it.
    const forms = [bytes, bytes.subarray(0, 20), Buffer.from(bytes.map((byte) => byte ^ 1)), randomBytes(40)];
    nonsense.send(forms[answers++ % forms.length] ?? bytes, from.port, from.address);
  });
  const quick = { ...pdu.configuration, timeoutMs: 600 };
  const table: [string, Parameters<typeof snmpDriver>[0]][] = [
    ['community', { ...quick, security: { version: '2c', community: 'public' } }],
    ['v3 key', { ...quick, security: { ...v3, authKey: 'some other key' } }],
    ['v3 user', { ...quick, security: { ...v3, user: 'nobody' } }],
    ['nobody', { ...quick, host: '127.0.0.7' }],
    ['nonsense v1', { ...quick, host: '127.0.0.8', security: { version: '1', community: 'x' } }],
    ['nonsense v2c', { ...quick, host: '127.0.0.8' }],
    ['nonsense v3', { ...quick, host: '127.0.0.8', security: v3 }],
  ];
  for (const [name, configuration] of table)
    for (const ask of [
      () => snmpDriver(configuration).isOff(request('1')),
      () => snmpDriver(configuration).turn('off', request('1')),
    ])
      await assert.rejects(ask(), (error) => {
        assert.match(errorChain(error), /^cannot get PDU 127\.0\.0\.\d to .*: ./, name);
        return true;
      });
  assert.equal(pdu.state(1), '1');
});
