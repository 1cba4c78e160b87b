// The process in which the controller speaks SSH: see node-shell.ts. The first message is the key, each other one asks for
// a session, and is answered by one.
//
// A board may be hostile. So little is agreed with it (an algorithm that it may choose is an algorithm that it may choose for
// what it costs us), it may send so many bytes and no more, and its connection is destroyed when the session is
// over: a goodbye alone would leave it open for as long as the board likes.
import { connect, type Socket } from 'node:net';
import { NodeSSH } from 'node-ssh';

export interface SessionRequest {
  id: number;
  host: string;
  port: number;
  /** `ssh-ed25519 AAAA…` */
  hostKey: string;
  command: string;
  connectMs: number;
  answerMs: number;
  /** All that the board may send, from its first byte on. */
  answerBytes: number;
}

export interface ShellAnswer {
  stdout: string;
  stderr: string;
  code: number;
}

export type SessionAnswer = { id: number } & ({ answer: ShellAnswer } | { failed: string });

/** What dropbear on the node image speaks, and no more: the greatest Diffie-Hellman group costs half a second a session. */
const algorithms = {
  serverHostKey: ['ssh-ed25519' as const],
  kex: ['curve25519-sha256' as const, 'curve25519-sha256@libssh.org' as const],
  cipher: ['aes128-ctr' as const, 'aes256-ctr' as const, 'chacha20-poly1305@openssh.com' as const],
  hmac: ['hmac-sha2-256' as const],
  // A thousandfold of what comes over the wire, and an exception out of nowhere when the session ends.
  compress: ['none' as const],
};

async function answer(privateKey: string, request: SessionRequest): Promise<ShellAnswer> {
  const { host, command, connectMs, answerMs } = request;
  const expected = Buffer.from(request.hostKey.split(' ')[1] ?? '', 'base64');
  const { socket, broken } = guardedSocket(request);
  const ssh = new NodeSSH();
  try {
    const connected = ssh.connect({
      sock: socket,
      username: 'root',
      privateKey,
      readyTimeout: 0,
      hostVerifier: (key: Buffer) => key.equals(expected),
      algorithms,
    });
    await within(Promise.race([connected, broken]), { ms: connectMs, what: `${host} to begin a session` });
    // node-ssh listens for errors only while a command runs. A board that is reset later, or while we say goodbye,
    // resets the connection; an error that nobody listens for would end this process.
    ssh.connection?.on('error', () => undefined);
    const ended = ssh.execCommand(command);
    const { stdout, stderr, code } = await within(Promise.race([ended, broken]), {
      ms: answerMs,
      what: `${host} to answer`,
    });
    // node-ssh resolves with no code where the connection dropped under the command.
    if (code === null) throw new Error('the connection dropped');
    return { stdout, stderr, code };
  } finally {
    ssh.connection?.on('error', () => undefined);
    ssh.dispose();
    // Not `resetAndDestroy`: that waits until a board has read what we wrote.
    socket.destroy();
  }
}

/** The library reads what comes outside of any `try`: what it chokes on, and what is too much, is the end of the session. */
function guardedSocket({ host, port, answerBytes }: SessionRequest): { socket: Socket; broken: Promise<never> } {
  const { promise: broken, reject } = Promise.withResolvers<never>();
  broken.catch(() => undefined);
  const socket = connect({ host, port });
  const emit = socket.emit.bind(socket);
  let bytes = 0;
  socket.emit = (event: string | symbol, ...args: unknown[]) => {
    if (event === 'data' && args[0] instanceof Buffer) bytes += args[0].length;
    try {
      if (bytes > answerBytes) throw new Error(`it sent more than ${answerBytes} bytes`);
      return Reflect.apply(emit, socket, [event, ...args]);
    } catch (error) {
      reject(error);
      socket.destroy();
      return true;
    }
  };
  socket.setNoDelay(true);
  return { socket, broken };
}

async function within<T>(work: Promise<T>, { ms, what }: { ms: number; what: string }): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  return Promise.race([work, promise]).finally(() => clearTimeout(timer));
}

/** A board words some of these errors. */
const failureCharacters = 300;

function tell(answered: SessionAnswer): void {
  process.send?.(answered);
}

process.title = 'muster-ssh';
process.once('message', (privateKey: string) => {
  process.on('message', (request: SessionRequest) => {
    const { id } = request;
    answer(privateKey, request).then(
      (given) => tell({ id, answer: given }),
      (error: unknown) =>
        tell({ id, failed: (error instanceof Error ? error.message : String(error)).slice(0, failureCharacters) }),
    );
  });
});
// The controller is gone, and with it whoever wanted to know.
process.on('disconnect', () => process.exit());
