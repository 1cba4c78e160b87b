// The controller's HTTP API from the operators' side: every answer is checked by its schema, every refusal is its sentence.
import type { Readable } from 'node:stream';
import { request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { Type, type Static, type TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { Refusal } from '../protocol/api/refusal.ts';

export interface Asked<T extends TSchema> {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | undefined>;
  body?: unknown;
  /** Sent as it comes, as bytes, instead of `body`. */
  stream?: Readable;
  /** Known size of `stream`. */
  sizeBytes?: number | undefined;
  answer: T;
  /** Most time for the whole exchange, ms. */
  timeoutMs?: number;
}

export interface Api {
  readonly url: string;
  /** Throws ApiError with the controller's own sentence. */
  ask<T extends TSchema>(asked: Asked<T>): Promise<Static<T>>;
}

export class ApiError extends Error {
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** For answers that say nothing. */
export const Nothing = Type.Unknown();

// A refusal that looks at the head only takes a few milliseconds.
const REFUSAL_MS = 100;
const MOST_ANSWER_BYTES = 256 << 20;

export interface ConnectOptions {
  url: string;
  /** Read when it is first needed. */
  token: () => string | undefined;
  signal: AbortSignal;
}

export function connect({ url, token, signal }: ConnectOptions): Api {
  const base = new URL(url);
  return {
    url,
    ask: async (asked) => {
      const { method = 'GET', path, query = {}, answer, timeoutMs = 30_000 } = asked;
      const target = new URL(path, base);
      for (const [key, value] of Object.entries(query)) if (value !== undefined) target.searchParams.set(key, value);
      const secret = token();
      const { status, text } = await exchange({ asked, method, target, secret, timeoutMs, signal, url });
      const value = parsed(text);
      if (status >= 200 && status < 300) {
        if (Check(answer, value)) return value;
        throw new ApiError(
          status,
          `cannot understand the answer to ${method} ${path}: is the controller another version?`,
        );
      }
      const said = Check(Refusal, value) ? value.error : `the controller at ${url} answers ${status}`;
      throw new ApiError(status, status === 401 ? `${said} (${tokenHint(secret)})` : said);
    },
  };
}

function tokenHint(secret: string | undefined): string {
  return secret === undefined
    ? 'none found: give --token, $MUSTER_TOKEN, or --state with the directory that holds operator-token'
    : 'this one is not it: see --token, $MUSTER_TOKEN and --state';
}

interface Exchange {
  asked: Asked<TSchema>;
  method: string;
  target: URL;
  secret: string | undefined;
  timeoutMs: number;
  signal: AbortSignal;
  url: string;
}

function exchange({
  asked,
  method,
  target,
  secret,
  timeoutMs,
  signal,
  url,
}: Exchange): Promise<{ status: number; text: string }> {
  const { body, stream, sizeBytes } = asked;
  const json = body === undefined ? undefined : JSON.stringify(body);
  const headers: Record<string, string | number> = { accept: 'application/json' };
  if (secret !== undefined) headers['authorization'] = `Bearer ${secret}`;
  if (json !== undefined)
    Object.assign(headers, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
  if (stream !== undefined) headers['content-type'] = 'application/octet-stream';
  if (sizeBytes !== undefined) headers['content-length'] = sizeBytes;
  // An upload takes as long as it takes; anything else has a bound.
  const bounded = stream === undefined ? AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) : signal;

  return new Promise((resolve, reject) => {
    let answered = false;
    const fail = (cause: Error): void => {
      // A refused upload is answered, and then cut: the answer is what counts.
      if (answered) return;
      stream?.destroy();
      if (signal.aborted) reject(cause);
      else if (bounded.aborted)
        reject(new ApiError(0, `no answer from the controller at ${url} for ${timeoutMs} ms`, { cause }));
      else if (stream?.errored !== null && stream?.errored !== undefined) reject(stream.errored);
      else reject(new ApiError(0, unreachable(url, cause), { cause }));
    };
    const open = target.protocol === 'https:' ? secureRequest : request;
    const outgoing = open(target, { method, headers, signal: bounded, agent: false }, (incoming) => {
      answered = true;
      const parts: Buffer[] = [];
      let size = 0;
      incoming.on('data', (part: Buffer) => {
        size += part.length;
        if (size > MOST_ANSWER_BYTES) incoming.destroy(new Error(`an answer of more than ${MOST_ANSWER_BYTES} bytes`));
        else parts.push(part);
      });
      incoming.once('error', (cause) => reject(new ApiError(0, unreachable(url, cause), { cause })));
      incoming.once('end', () => {
        stream?.destroy();
        resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') });
      });
    });
    outgoing.on('error', fail);
    if (stream === undefined) outgoing.end(json);
    else {
      stream.once('error', (error) => outgoing.destroy(error));
      // The head goes first, alone: a refusal (of the token, of the name) is then read before the other side cuts the
      // connection under a body that it does not want.
      outgoing.flushHeaders();
      setTimeout(() => {
        if (!answered && !outgoing.destroyed) stream.pipe(outgoing);
      }, REFUSAL_MS);
    }
  });
}

function unreachable(url: string, cause: Error): string {
  const why = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
  return `cannot reach a controller at ${url} (${why}): start one with "npm start" or "muster up", or say where it is with --url`;
}

function parsed(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    // Not ours, or a proxy's: the schema check says so.
    return undefined;
  }
}
