// Boards whose SSH is hostile, in a thread of its own: what they cost themselves must not be measured with what they cost
// the controller. They have addresses of loopback, a network for each kind of hostility.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import ssh2, { type Connection, type ServerChannel, type ServerConfig } from 'ssh2';
import { newSshKeys } from '../credentials.ts';

const hostKeys = newSshKeys();

/** Writes for as long as it is read, and stays when the other side says goodbye. */
function flood(
  socket: { write: (chunk: Buffer) => boolean; once: (event: 'drain', go: () => void) => unknown },
  chunk: Buffer,
) {
  const go = (): void => {
    for (let count = 0; count < 64; count++) if (!socket.write(chunk)) return void socket.once('drain', go);
    setImmediate(go);
  };
  go();
}

type Raw = (socket: Socket) => void;
const ident = 'SSH-2.0-dropbear\r\n';

/** Before a key exchange: bytes, written by hand. */
const raw: Record<string, Raw> = {
  // It reads, else it would not hear that the connection is gone.
  'accepts and says nothing': (socket) => void socket.resume(),
  'closes at once': (socket) => socket.destroy(),
  'resets after its name': (socket) => void socket.write(ident, () => setTimeout(() => socket.resetAndDestroy(), 20)),
  'drips a greeting': (socket) => {
    const timer = setInterval(() => socket.write('x'), 50);
    socket.on('close', () => clearInterval(timer));
  },
  'greets without end': (socket) => flood(socket, Buffer.from('hello, controller\r\n'.repeat(3_000))),
  'greets in one line without end': (socket) => flood(socket, Buffer.alloc(65_536, 'x')),
  'garbage for a key exchange': (socket) => {
    socket.write(ident);
    flood(socket, randomBytes(65_536));
  },
  'ignorable packets for a key exchange': (socket) => {
    socket.write(ident);
    flood(socket, ignored(30_000));
  },
  'drips a packet': (socket) => {
    socket.write(ident);
    const packet = ignored(30_000);
    let at = 0;
    const timer = setInterval(() => socket.write(packet.subarray(at, ++at)), 20);
    socket.on('close', () => clearInterval(timer));
  },
};

/** SSH_MSG_IGNORE in the clear, padded to 8 bytes. */
function ignored(bytes: number): Buffer {
  const payload = Buffer.alloc(5 + bytes);
  payload[0] = 2;
  payload.writeUInt32BE(bytes, 1);
  const padding = 8 - ((5 + payload.length) % 8) + 8;
  const packet = Buffer.alloc(5 + payload.length + padding);
  packet.writeUInt32BE(packet.length - 4, 0);
  packet[4] = padding;
  payload.copy(packet, 5);
  return packet;
}

const exec =
  (act: (stream: ServerChannel, client: Connection) => void): Behaviour['after'] =>
  (client) =>
    client.on('session', (accept) => {
      accept().on('exec', (acceptCommand) => act(acceptCommand(), client));
    });
const says = (text: string, code: number | undefined) =>
  exec((stream) => {
    stream.write(text);
    if (code !== undefined) stream.exit(code);
    stream.end();
  });

interface Behaviour {
  algorithms?: ServerConfig['algorithms'];
  key?: string;
  /** In the place of an answer to the login, which everybody is granted otherwise. */
  login?: (client: Connection, refuse: () => void) => void;
  after: (client: Connection) => void;
}

/** For as long as the connection is there: 200 times in a turn, something that the library has no public way to say. */
function again(client: Connection, say: (protocol: object) => void): void {
  const protocol: unknown = Reflect.get(client, '_protocol');
  let open = true;
  client.on('close', () => (open = false));
  const go = (): void => {
    if (!open || typeof protocol !== 'object' || protocol === null) return;
    for (let count = 0; count < 200; count++) say(protocol);
    setImmediate(go);
  };
  go();
}

function call(protocol: object, [method, ...args]: [string, ...unknown[]]): void {
  const found: unknown = Reflect.get(protocol, method);
  if (typeof found !== 'function') throw new Error(`cannot be hostile: ssh2 has no ${method}`);
  Reflect.apply(found, protocol, args);
}

const block = Buffer.alloc(32_768, 'y\n');

/** From the key exchange on: a server that speaks SSH, and does this. */
const spoken: Record<string, Behaviour> = {
  'another host key': { key: newSshKeys().private, after: says('empty 0\n', 0) },
  'the costliest Diffie-Hellman': {
    algorithms: { kex: ['diffie-hellman-group18-sha512'] },
    after: says('empty 0\n', 0),
  },
  'compressed zeros without end': {
    algorithms: { compress: ['zlib@openssh.com', 'zlib'] },
    after: exec((stream) => flood(stream, Buffer.alloc(1 << 20))),
  },
  'no answer to the login': { login: () => undefined, after: () => undefined },
  'refuses the login': { login: (_client, refuse) => refuse(), after: () => undefined },
  'banners instead of a login': {
    login: (client) =>
      again(client, (protocol) => {
        Reflect.set(protocol, '_banner', 'x'.repeat(30_000));
        call(protocol, ['serviceAccept', 'ssh-userauth']);
      }),
    after: () => undefined,
  },
  'no answer to the command': { after: exec(() => undefined) },
  'no channel': { after: (client) => client.on('session', () => undefined) },
  'refuses the channel': { after: (client) => client.on('session', (_accept, reject) => reject()) },
  'output without end': { after: exec((stream) => flood(stream, block)) },
  'errors without end': { after: exec((stream) => flood(stream.stderr, block)) },
  'keepalives without end': {
    after: exec((_stream, client) => again(client, (protocol) => call(protocol, ['ping']))),
  },
  'key exchanges without end': {
    after: exec((_stream, client) => {
      const go = (): void => client.rekey(() => setImmediate(go));
      go();
    }),
  },
  'drops the connection under the command': { after: exec((_stream, client) => client.end()) },
  'an end without a code': { after: says('empty 0\n', undefined) },
  'a verdict with the code of a failure': { after: says('empty 3\n', 4) },
  'a verdict among others': { after: says('left 1 acme\nempty 0\nleft 2 bolt\n', 0) },
  'a verdict after much else': { after: says(`${'left 1 acme \u0000\n'.repeat(1_000)}empty 0\n`, 0) },
  'no verdict': { after: says('\u001b]8;;http://evil\u0007fine\u001b]8;;\u0007\n', 0) },
};

export const hostilities = [...Object.keys(raw), ...Object.keys(spoken)];

/** On all addresses of loopback: `127.1.<kind>.…` is a board of that kind of hostility. Resolves with the port. */
async function listen(): Promise<number> {
  const acts = [...Object.values(raw), ...Object.values(spoken).map(serverOf)];
  // A goodbye is not answered: the connection is there until the other side destroys it.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    acts[Number(socket.localAddress?.split('.')[2])]?.(socket);
  });
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function serverOf({ algorithms, key = hostKeys.private, after, login }: Behaviour): Raw {
  const ssh = new ssh2.Server({ hostKeys: [key], ...(algorithms === undefined ? {} : { algorithms }) }, (client) => {
    client.on('error', () => undefined);
    client.on('authentication', (asked) => {
      if (login === undefined) asked.accept();
      else login(client, () => asked.reject());
    });
    after(client);
  });
  return (socket) => ssh.injectSocket(socket);
}

export interface HostileBoards extends AsyncDisposable {
  /** The key that they gave when they joined. */
  hostKey: string;
  port: number;
  /** The address of the nth board that is hostile in that way. */
  addressOf(hostility: string, index: number): string;
  /** How many connections to them are open: held by a process, that is, for the kernel closes what they do not answer. */
  connections(): number;
}

interface Told {
  port: number;
  hostKey: string;
}

export async function startHostileBoards(): Promise<HostileBoards> {
  const worker = new Worker(fileURLToPath(import.meta.url));
  const [told]: Told[] = await once(worker, 'message');
  return {
    hostKey: told?.hostKey ?? '',
    port: told?.port ?? 0,
    addressOf: (hostility, index) => `127.1.${hostilities.indexOf(hostility)}.${index + 1}`,
    connections: () => heldConnections(told?.port ?? 0),
    [Symbol.asyncDispose]: async () => void (await worker.terminate()),
  };
}

/** Of /proc/net/tcp: to that port, and with an inode, which a closed socket has no longer. */
function heldConnections(port: number): number {
  const rows = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1);
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return rows.map((row) => row.trim().split(/\s+/)).filter((row) => row[2]?.endsWith(remote) && row[9] !== '0').length;
}

if (!isMainThread && parentPort !== null) {
  parentPort.postMessage({ port: await listen(), hostKey: hostKeys.public } satisfies Told);
}
