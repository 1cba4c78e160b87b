// HTTPS to the controller, whose certificate is known by its fingerprint alone: no authority is trusted, and no byte of a
// request leaves before the peer has proven that it holds that certificate's key.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { connect } from 'node:tls';
import { agentAuthorization } from '../../protocol/agent-authorization.ts';
import type { Endpoint } from '../../protocol/ipv4.ts';
import type { AgentSession } from '../agent-session.ts';

const connectDeadlineMs = 5_000;
/** A download that makes no progress for so long has failed. */
const stallMs = 20_000;
const downloadDeadlineMs = 900_000;

export interface Call {
  method: 'GET' | 'POST';
  path: string;
  /** Sent as JSON. */
  body?: unknown;
  session?: AgentSession | undefined;
  deadlineMs: number;
  /** A response that is longer is an error. */
  limitBytes: number;
  signal?: AbortSignal | undefined;
}

/** The signal is the call's own: it ends with it. */
type Sending = Pick<Call, 'method' | 'path' | 'body' | 'session'> & { signal: AbortSignal };

export interface ControllerResponse {
  status: number;
  body: Buffer;
}

export interface Download {
  path: string;
  session: AgentSession;
  destination: string;
  sha256: string;
  limitBytes: number;
  signal: AbortSignal;
}

export interface ControllerClient extends Disposable {
  /** Any status is a response; none in time, another certificate or too long a response throws. */
  call: (call: Call) => Promise<ControllerResponse>;
  /** Writes the file while it checks it; throws when it is not what was asked for. What it wrote then is for the caller to remove. */
  download: (download: Download) => Promise<void>;
}

export function controllerClient({ api, fingerprint }: { api: Endpoint; fingerprint: string }): ControllerClient {
  const agent = new PinnedAgent(api, fingerprint);

  async function send({ method, path, body, session, signal }: Sending): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers: Record<string, string | number> = {};
    if (text !== undefined) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = Buffer.byteLength(text);
    }
    if (session !== undefined) headers['authorization'] = agentAuthorization(session, { method, path });
    const options: RequestOptions = { agent, host: api.host, port: api.port, method, path, headers };
    options.signal = signal;
    signal.throwIfAborted();
    return await new Promise<IncomingMessage>((resolve, reject) => {
      // A request that still waits for its connection does not hear of the signal by itself.
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      request(options, resolve).on('error', reject).end(text);
    });
  }

  return {
    async call({ deadlineMs, limitBytes, ...call }) {
      const deadline = AbortSignal.timeout(deadlineMs);
      const signal = call.signal === undefined ? deadline : AbortSignal.any([deadline, call.signal]);
      try {
        const response = await send({ ...call, signal });
        return { status: response.statusCode ?? 0, body: await bodyOf(response, limitBytes) };
      } catch (error) {
        throw new Error(`cannot ${call.method} ${call.path}`, { cause: error });
      }
    },

    async download({ path, session, signal, ...file }) {
      const stalled = new AbortController();
      const stall = setTimeout(() => stalled.abort(new Error(`no progress in ${stallMs} ms`)), stallMs);
      try {
        const either = AbortSignal.any([signal, stalled.signal, AbortSignal.timeout(downloadDeadlineMs)]);
        const response = await send({ method: 'GET', path, session, signal: either });
        if (response.statusCode !== 200) {
          response.destroy();
          throw new Error(`status ${response.statusCode}, want 200`);
        }
        await keepChecked(response, { ...file, signal: either, onProgress: () => stall.refresh() });
      } catch (error) {
        throw new Error(`cannot fetch ${path}`, { cause: error });
      } finally {
        clearTimeout(stall);
      }
    },

    [Symbol.dispose]() {
      agent.destroy();
    },
  };
}

async function bodyOf(response: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > limitBytes) throw new Error(`response of more than ${limitBytes} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

type Checked = Pick<Download, 'destination' | 'sha256' | 'limitBytes' | 'signal'> & { onProgress: () => void };

/** Writes the file while it hashes it; throws when it is too long or another one. */
async function keepChecked(
  response: IncomingMessage,
  { destination, sha256, limitBytes, signal, onProgress }: Checked,
): Promise<void> {
  const hash = createHash('sha256');
  let length = 0;
  await pipeline(
    response,
    async function* check(source: AsyncIterable<Buffer>) {
      for await (const chunk of source) {
        onProgress();
        length += chunk.length;
        if (length > limitBytes) throw new Error(`more than ${limitBytes} bytes`);
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(destination, { mode: 0o600 }),
    { signal },
  );
  const got = hash.digest('hex');
  if (got !== sha256) throw new Error(`sha256 ${got} of ${length} bytes, want ${sha256}`);
}

class PinnedAgent extends Agent {
  readonly #api: Endpoint;
  readonly #fingerprint: string;

  constructor(api: Endpoint, fingerprint: string) {
    super({ keepAlive: true, maxSockets: 4, maxFreeSockets: 2, timeout: 60_000 });
    this.#api = api;
    this.#fingerprint = fingerprint;
  }

  /** Hands the socket over only once the certificate is the pinned one. */
  override createConnection(_: RequestOptions, done: (error: Error | null, socket: Duplex) => void): undefined {
    // No session cache: each connection shows its certificate. `rejectUnauthorized` asks authorities, which we have none of.
    const socket = connect({ ...this.#api, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    const timer = setTimeout(
      () =>
        socket.destroy(
          new Error(`no TLS connection to ${this.#api.host}:${this.#api.port} in ${connectDeadlineMs} ms`),
        ),
      connectDeadlineMs,
    );
    const fail = (error: Error): void => {
      clearTimeout(timer);
      done(error, socket);
    };
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      const der = socket.getPeerX509Certificate()?.raw;
      const got = der === undefined ? 'none' : createHash('sha256').update(der).digest('hex');
      if (got !== this.#fingerprint) {
        socket.destroy(new Error(`the controller's certificate is ${got}, want ${this.#fingerprint}`));
        return;
      }
      socket.off('error', fail);
      socket.setNoDelay(true);
      done(null, socket);
    });
  }
}

/** The chain of causes in one line, for a line of the log. */
export function inWords(error: unknown): string {
  const words: string[] = [];
  for (let each: unknown = error; each !== undefined && words.length < 5;) {
    words.push(each instanceof Error ? each.message : 'no error');
    each = each instanceof Error ? each.cause : undefined;
  }
  return words.join(': ');
}
