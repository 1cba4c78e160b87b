// The roll call's own thread, in a process of its own, over a real socket on loopback: this test is its node.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { Parse } from 'typebox/value';
import { testHeartbeat } from '../../../protocol/heartbeat.fixture.ts';
import { decodePermit, encodeHeartbeat, type Permit, type Receipt } from '../../../protocol/roll-call.ts';

const program = fileURLToPath(new URL('roll-call-thread.fixture.ts', import.meta.url));
/** Opens a UDP socket on loopback and becomes the program, which inherits it. */
const launcher = `
use Socket; use Fcntl;
socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die;
bind($socket, pack_sockaddr_in(0, inet_aton('127.0.0.1'))) or die;
fcntl($socket, F_SETFD, 0) or die;
my ($port) = unpack_sockaddr_in(getsockname $socket);
$| = 1; print "{\\"port\\":$port}\\n";
exec @ARGV, fileno($socket);`;

const Line = Type.Object({
  port: Type.Optional(Type.Integer()),
  session: Type.Optional(Type.String()),
  key: Type.Optional(Type.String()),
  blocked: Type.Optional(Type.Boolean()),
  number: Type.Optional(Type.Integer()),
  refused: Type.Optional(Type.String()),
  node: Type.Optional(Type.String()),
  audit: Type.Optional(Type.Object({ receipts: Type.Integer(), problems: Type.Array(Type.Unknown()) })),
  events: Type.Optional(Type.Array(Type.String())),
});
type Line = Type.Static<typeof Line>;

interface Rig {
  child: ChildProcess;
  /** Of the program. */
  readonly line: () => Promise<Line>;
  readonly tell: (...commands: string[]) => void;
  /** Its line that answers the command. */
  readonly ask: (command: string) => Promise<Line>;
  readonly heartbeat: (receipts?: Receipt[]) => Promise<Permit>;
}

async function rig(t: TestContext): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'roll-call-thread-'));
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', program, directory];
  const child = spawn('perl', ['-e', launcher, ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    socket.close();
    await rm(directory, { recursive: true });
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    assert.ok(done !== true, 'the program goes on');
    return Parse(Line, JSON.parse(value));
  };
  const { port = 0 } = await line();
  const { session = '', key = '' } = await line();
  const node = { socket, port, session: Buffer.from(session, 'hex'), key: Buffer.from(key, 'hex') };
  const tell = (...commands: string[]) => void child.stdin.write(commands.map((each) => `${each}\n`).join(''));
  let obeyed = 0n;
  return {
    child,
    line,
    tell,
    ask: (command) => {
      tell(command);
      return line();
    },
    heartbeat: async (receipts = []) => {
      const permit = await exchange(node, { permitSequence: obeyed, receipts });
      obeyed = permit.sequence;
      return permit;
    },
  };
}

let sequence = 0n;

/** A heartbeat and the permit that answers it; others that come first were sent unasked. */
async function exchange(
  { socket, port, session, key }: { socket: Socket; port: number; session: Buffer; key: Buffer },
  { permitSequence, receipts }: { permitSequence: bigint; receipts: Receipt[] },
): Promise<Permit> {
  const nonce = randomBytes(16);
  const heartbeat = testHeartbeat({ session, sequence: ++sequence, nonce, permitSequence, receipts });
  socket.send(encodeHeartbeat(heartbeat, key), port, '127.0.0.1');
  for (;;) {
    const [bytes]: Buffer[] = await once(socket, 'message');
    const permit = bytes === undefined ? undefined : decodePermit(bytes, key);
    if (permit?.nonce.equals(nonce) === true) return permit;
  }
}

/** Until its heartbeats have made it ready. */
async function ready({ ask, heartbeat }: Rig): Promise<void> {
  for (;;) {
    await heartbeat();
    if ((await ask('state')).node === 'ready') return;
  }
}

const names = ({ customers }: Permit) => customers.map(({ customer }) => customer);

test(
  'permits go on while the main thread stands still, and nobody is taken for silent',
  { timeout: 60_000 },
  async (t) => {
    const it = await rig(t);
    await ready(it);
    await it.ask('place acme');
    assert.equal((await it.ask('block 5000')).blocked, true);
    let over = false;
    const end = it.line().then(({ blocked }) => (over = blocked === false));
    let permits = 0;
    while (!over) {
      assert.deepEqual(names(await it.heartbeat()), ['acme']);
      if (!over) permits++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await end;
    assert.ok(permits >= 10, `${permits} permits in five seconds`);
    const { node, events = [] } = await it.ask('state');
    assert.equal(node, 'ready');
    assert.deepEqual(
      events.filter((event) => /silent|lost|no heartbeat/.test(event)),
      [],
    );
  },
);

test(
  'an order that was given is in every permit, and the last of many orders and lifts counts',
  { timeout: 60_000 },
  async (t) => {
    const it = await rig(t);
    await ready(it);
    await it.ask('place acme');
    await it.ask('place bolt');
    assert.deepEqual(names(await it.heartbeat()), ['acme', 'bolt']);
    const { number = 0 } = await it.ask('kill acme');
    const killed = await it.heartbeat();
    assert.deepEqual(names(killed), ['bolt']);
    assert.deepEqual(killed.orders, [{ order: BigInt(number), scope: 'acme' }]);
    for (let asked = killed; asked.orders.length > 0;)
      asked = await it.heartbeat([{ order: BigInt(number), stoppedAfterMs: 1, processes: 1 }]);
    const { audit } = await it.ask('state');
    assert.deepEqual([audit?.receipts, audit?.problems], [1, []], 'the datagram that signs the receipt is kept');
    await it.ask('lift acme');
    assert.deepEqual(names(await it.heartbeat()), ['acme', 'bolt']);
    for (let round = 0; round < 5; round++) {
      // None of them waits for another. Those that find something else standing are refused.
      it.tell('kill acme', 'kill *', 'lift acme', 'kill bolt', 'lift *');
      for (let answers = 0; answers < 5; answers++) await it.line();
      for (const scope of ['*', 'acme', 'bolt']) {
        await it.ask(`lift ${scope}`);
      }
      assert.deepEqual(names(await it.heartbeat()), ['acme', 'bolt']);
      await it.ask('kill *');
      assert.deepEqual(names(await it.heartbeat()), []);
      await it.ask('lift *');
    }
  },
);

test('a thread that fails takes the process along', { timeout: 60_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'roll-call-thread-'));
  t.after(() => rm(directory, { recursive: true }));
  // There is no such socket.
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, directory, '99'], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code]: unknown[] = await once(child, 'exit');
  assert.equal(code, 70);
  assert.match(said, /the roll call's thread ended: /);
});
