// The HTTP API from the operators' side: every answer is checked by the API's description, every refusal is its sentence.
import type { Readable } from 'node:stream';
import { describedAnswer } from './described-answer.ts';
import { allPages } from './pages.ts';

export interface Asked {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | undefined>;
  body?: unknown;
  /** Of `askTagged`: what is there must be that still. */
  ifMatch?: string;
  /** Nothing may be there of that name. */
  ifNoneMatch?: '*';
  /** Sent as it comes, as bytes, instead of `body`. */
  stream?: Readable;
  /** Known size of `stream`. */
  sizeBytes?: number | undefined;
  /** The answer is text, and no JSON document. */
  isText?: true;
  /** Most time for the whole exchange, ms. */
  timeoutMs?: number;
}

export interface Api {
  readonly url: string;
  /** `Answer` is the type of what `docs/openapi.json` describes for the path. Throws ApiError with the controller's own sentence. */
  ask<Answer>(asked: Asked): Promise<Answer>;
  /** The same of what has versions: `etag` is the one that was answered. */
  askTagged<Answer>(asked: Asked): Promise<Tagged<Answer>>;
}

export interface Tagged<Answer> {
  answer: Answer;
  etag: string;
}

export class ApiError extends Error {
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** For programs: the controller's own, or `unreachable`, `upload-cut`, `timeout`, `unauthorized`, `refused`, `not-understood`. */
  readonly code: string;
  constructor(message: string, { status, code, cause }: { status: number; code: string; cause?: unknown }) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.code = code;
  }
}

// A refusal that looks at the head only takes a few milliseconds.
const refusalMs = 100;
const answerLimitBytes = 256 << 20;

/** An operator's token, and where it was found; or why there is none. */
export type FoundToken = { token: string; from: string } | { missing: string };

export interface ConnectOptions {
  url: string;
  /** Read when it is first needed. */
  token: () => FoundToken;
  signal: AbortSignal;
}

export function connect({ url, token, signal }: ConnectOptions): Api {
  const base = new URL(url);
  async function askOnce(asked: Asked): Promise<Tagged<unknown>> {
    const { method = 'GET', path, query = {}, timeoutMs = 30_000 } = asked;
    const target = new URL(path, base);
    for (const [key, value] of Object.entries(query)) if (value !== undefined) target.searchParams.set(key, value);
    const found = token();
    const secret = 'token' in found ? found.token : undefined;
    const { status, text, etag } = await exchange({ asked, method, target, secret, timeoutMs, signal, url });
    const isDone = status >= 200 && status < 300;
    const value = isDone && asked.isText === true ? text : parsed(text);
    if (!isDone) throw refusal({ status, value, url, found });
    if (value === undefined || !describedAnswer({ method, path: target.pathname, status, value }))
      throw new ApiError(
        `cannot understand the answer to ${method} ${path}: is the controller at ${url} another version of Muster, or another program?`,
        { status, code: 'not-understood' },
      );
    return { answer: value, etag };
  }
  return {
    url,
    // The edge: the description that it was just checked by is made from the schemas that give `Answer`.
    ask: async <Answer>(asked: Asked) =>
      (await allPages(async (page) => (await askOnce(page)).answer, asked)) as Answer,
    askTagged: async <Answer>(asked: Asked) => (await askOnce(asked)) as Tagged<Answer>,
  };
}

function refusal({ status, value, url, found }: { status: number; value: unknown; url: string; found: FoundToken }) {
  const code = textOf(value, 'code');
  if (status === 401) return new ApiError(unauthorized(url, found), { status, code: code ?? 'unauthorized' });
  const said = textOf(value, 'detail') ?? textOf(value, 'error') ?? `the controller at ${url} answers ${status}`;
  return new ApiError(said, { status, code: code ?? 'refused' });
}

function textOf(value: unknown, key: string): string | undefined {
  const text: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
  return typeof text === 'string' && text !== '' ? text : undefined;
}

function unauthorized(url: string, found: FoundToken): string {
  const why =
    'token' in found
      ? `does not know the token from ${found.from}`
      : `wants an operator's token, and none was found (${found.missing})`;
  return `the controller at ${url} ${why}: want --token, $MUSTER_TOKEN, or --state-dir with the directory that holds operator-token; for a token of your own ask whoever runs the controller: muster operator add NAME`;
}

interface Exchange {
  asked: Asked;
  method: string;
  target: URL;
  secret: string | undefined;
  timeoutMs: number;
  signal: AbortSignal;
  url: string;
}

function exchange({ asked, method, target, secret, timeoutMs, signal, url }: Exchange) {
  const { body, stream, sizeBytes, ifMatch, ifNoneMatch } = asked;
  const json = body === undefined ? undefined : JSON.stringify(body);
  const headers: Record<string, string | number> = { accept: 'application/json' };
  if (secret !== undefined) headers['authorization'] = `Bearer ${secret}`;
  if (json !== undefined)
    Object.assign(headers, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
  if (ifMatch !== undefined) headers['if-match'] = ifMatch;
  if (ifNoneMatch !== undefined) headers['if-none-match'] = ifNoneMatch;
  if (stream !== undefined) headers['content-type'] = 'application/octet-stream';
  if (sizeBytes !== undefined) headers['content-length'] = sizeBytes;
  // An upload takes as long as it takes; anything else has a bound.
  const bounded = stream === undefined ? AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) : signal;
  // The one that is needed, and not by `import`, which would look at every export and load what is behind it: fetch and TLS.
  const { request } =
    target.protocol === 'https:' ? process.getBuiltinModule('node:https') : process.getBuiltinModule('node:http');

  return new Promise<{ status: number; text: string; etag: string }>((resolve, reject) => {
    let answered = false;
    let connected = false;
    let sending = false;
    const fail = (cause: Error): void => {
      // A refused upload is answered, and then cut: the answer is what counts.
      if (answered) return;
      stream?.destroy();
      if (signal.aborted) reject(cause);
      else if (bounded.aborted)
        reject(
          new ApiError(`no answer from the controller at ${url} for ${timeoutMs} ms`, {
            status: 0,
            code: 'timeout',
            cause,
          }),
        );
      else if (stream?.errored !== null && stream?.errored !== undefined) reject(stream.errored);
      else if (sending && connected) reject(cutUpload(url, cause));
      else reject(unreachable(url, cause));
    };
    const outgoing = request(target, { method, headers, signal: bounded, agent: false }, (incoming) => {
      answered = true;
      const parts: Buffer[] = [];
      let size = 0;
      incoming.on('data', (part: Buffer) => {
        size += part.length;
        if (size > answerLimitBytes) incoming.destroy(new Error(`an answer of more than ${answerLimitBytes} bytes`));
        else parts.push(part);
      });
      incoming.once('error', (cause) => reject(unreachable(url, cause)));
      incoming.once('end', () => {
        stream?.destroy();
        const text = Buffer.concat(parts).toString('utf8');
        resolve({ status: incoming.statusCode ?? 0, text, etag: incoming.headers.etag ?? '' });
      });
    });
    outgoing.on('error', fail);
    outgoing.once('socket', (socket) => socket.once('connect', () => (connected = true)));
    if (stream === undefined) outgoing.end(json);
    else {
      stream.once('error', (error) => outgoing.destroy(error));
      // The head goes first, alone: a refusal (of the token, of the name) is then read before the other side cuts the
      // connection under a body that it does not want.
      outgoing.flushHeaders();
      setTimeout(() => {
        if (answered || outgoing.destroyed) return;
        sending = true;
        stream.pipe(outgoing);
      }, refusalMs);
    }
  });
}

/** There is a controller, or was until now: it ended the connection before it answered. */
function cutUpload(url: string, cause: Error): ApiError {
  return new ApiError(
    `the upload was cut by the controller at ${url} (${whyOf(cause)}), which gave no answer: look at its log and its disk (muster status), then try again`,
    { status: 0, code: 'upload-cut', cause },
  );
}

function whyOf(cause: Error): string {
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
}

function unreachable(url: string, cause: Error): ApiError {
  return new ApiError(
    `cannot reach a controller at ${url} (${whyOf(cause)}): start one with "npm start" or "muster up", or say where it is with --url`,
    { status: 0, code: 'unreachable', cause },
  );
}

function parsed(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    // Not ours, or a proxy's: whoever asked is told that it is not understood.
    return undefined;
  }
}
