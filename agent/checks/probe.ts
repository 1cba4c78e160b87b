// Asks one instance once. HTTP and TCP go out from the node to the instance's own address: what a program inside a network
// namespace answers there is what its customers get. No process is made for them, and of an answer only the first line is
// read: whoever is asked may be hostile.
import { connect, type Socket } from 'node:net';
import type { FilledCheck } from '../../protocol/workload/check-schemas.ts';

export interface Instance {
  /** Its own, on the customer's bridge. */
  address: string;
  /** Runs a command in it; why it did not exit with 0, or undefined. */
  readonly exec: (
    command: readonly string[],
    options: { timeoutMs: number; signal: AbortSignal },
  ) => Promise<string | undefined>;
}

const answerLimitBytes = 1_024;

/** Why the check does not hold, in words without numbers that change from time to time; undefined where it holds. */
export async function probe(
  check: FilledCheck,
  asked: { instance: Instance; signal: AbortSignal },
): Promise<string | undefined> {
  const { timeoutMs } = check;
  const { instance, signal } = asked;
  if (check.exec !== undefined) return instance.exec(check.exec, { timeoutMs, signal });
  const port = (check.http ?? check.tcp)?.port ?? 0;
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connect({ host: instance.address, port, noDelay: true });
  const timer = setTimeout(
    () => resolve(socket.connecting ? `no connection within ${timeoutMs} ms` : `no answer within ${timeoutMs} ms`),
    timeoutMs,
  );
  const abort = (): void => resolve('no longer asked');
  signal.addEventListener('abort', abort, { once: true });
  socket.on('error', (error: NodeJS.ErrnoException) => resolve(inWords(error)));
  if (check.http === undefined) socket.once('connect', () => resolve(undefined));
  else readStatus(socket, { ...check.http, address: instance.address, resolve });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

interface Asked {
  address: string;
  path: string;
  port: number;
  status?: number;
  resolve: (failure: string | undefined) => void;
}

function readStatus(socket: Socket, { address, path, port, status, resolve }: Asked): void {
  let answer = '';
  socket.setEncoding('latin1');
  // Not written before it is connected: what waits in the socket would be counted as an answer's time.
  socket.once('connect', () =>
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${address}:${port}\r\nUser-Agent: muster-check\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
    ),
  );
  socket.on('data', (text: string) => {
    answer = (answer + text).slice(0, answerLimitBytes);
    if (answer.includes('\n') || answer.length === answerLimitBytes) resolve(judge(answer, status));
  });
  socket.once('end', () => resolve(answer === '' ? 'no answer: the connection was closed' : judge(answer, status)));
}

function judge(answer: string, wanted: number | undefined): string | undefined {
  const found = Number(/^HTTP\/1\.[01] ([1-5][0-9]{2})(?: |\r?\n|$)/.exec(answer)?.[1] ?? 0);
  if (found === 0) return 'the answer is not HTTP';
  if (wanted === undefined ? found >= 200 && found < 400 : found === wanted) return undefined;
  return `status ${found}, want ${wanted ?? '200 to 399'}`;
}

function inWords({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  if (code === 'ECONNRESET') return 'the connection was reset';
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'its network is away';
  return message.slice(0, 100);
}
