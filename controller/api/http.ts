// What the operators' and the agents' servers have in common: limits, validation that neither strips nor coerces,
// and refusals in one sentence. Permits wait while a request is worked on, so what a stranger can make us do is little:
// connections are counted (`boot/connection-limit.ts`), bodies are small, and the first thing that is wrong is the last that
// is looked at.
import { isIP } from 'node:net';
import fastify, { type FastifyServerOptions } from 'fastify';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { limitConnections, type ConnectionGate, type ConnectionLimits } from '../../boot/connection-limit.ts';
import type { Refused } from '../../inventory/refused.ts';

/** A request that is refused: the sentence goes to whoever asked. */
export class RefusedError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    connections: ConnectionGate;
  }
}

/** Of a body where its route names no other. */
const bodyLimitBytes = 65_536;
const headersMs = 10_000;
/** What a refusal may be long: it may repeat what was sent. */
const refusalCharacters = 500;

export interface ServerOptions extends Partial<FastifyServerOptions> {
  /** `handshakes` is for TLS alone. */
  connections?: ConnectionLimits;
  https?: { key: string; cert: string };
  /** Told of each request that failed by a fault of ours. */
  onFault?: (message: string) => void;
}

export function createServer({
  https,
  onFault,
  connections = { total: 256, perAddress: 256, ...(https === undefined ? {} : { handshakes: 32 }) },
  ...options
}: ServerOptions = {}) {
  const intervals = { connectionsCheckingInterval: 2_000, maxHeaderSize: 16_384 };
  const app = fastify({
    // Slow and idle connections end by themselves; nothing here takes longer to send its headers.
    requestTimeout: 30_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 30_000,
    bodyLimit: bodyLimitBytes,
    routerOptions: { maxParamLength: 200 },
    forceCloseConnections: true,
    // The first error ends it: a body of half a million errors is refused by its first.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: true, allErrors: false } },
    schemaErrorFormatter: (errors, where) =>
      new Error(
        `cannot accept ${where}: ${errors
          .map(({ instancePath, message, params }) => {
            const key = 'additionalProperty' in params ? ` "${String(params['additionalProperty'])}"` : '';
            return `${instancePath.slice(1).replaceAll('/', '.')} ${message ?? 'is wrong'}${key}`.trim();
          })
          .join('; ')}`,
      ),
    ...(https === undefined ? { http: intervals } : { https: { ...intervals, ...https, ...tlsLimits } }),
    ...options,
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.headersTimeout = headersMs;
  app.decorate('connections', limitConnections(app.server, connections));
  app.addHook('onRequest', (_request, reply, done) => {
    // For browsers: what is answered is for our own page, and is what it says it is.
    reply.headers({ 'x-content-type-options': 'nosniff', 'cross-origin-resource-policy': 'same-origin' });
    done();
  });

  // A page of another origin must not read us by a name that it points at our address (DNS rebinding).
  app.addHook('onRequest', (request, _reply, done) => {
    const name = request.hostname.replace(/^\[|\]$/g, '');
    done(
      isIP(name) !== 0 || name === 'localhost'
        ? undefined
        : new RefusedError(421, `cannot answer as ${name}, want an address or localhost`),
    );
  });

  app.setErrorHandler((error, request, reply) => {
    const status = error instanceof RefusedError ? error.status : statusOf(error);
    if (status >= 500 && !(error instanceof RefusedError))
      onFault?.(`cannot answer ${request.method} ${request.url.slice(0, 200)}: ${chain(error)}`);
    // What is left unread of a refused request is not read: the connection ends with the answer.
    if (!request.raw.complete && hasBody(request.headers)) void reply.header('connection', 'close');
    void reply.status(status).send({ error: chain(error).slice(0, refusalCharacters) });
  });
  app.setNotFoundHandler((request, reply) => {
    void reply.status(404).send({ error: `there is nothing at ${request.method} ${request.url.slice(0, 200)}` });
  });
  return app;
}

/** Agents speak what we speak; the oldest versions let a client ask for one handshake after another. */
const tlsLimits = { minVersion: 'TLSv1.3', handshakeTimeout: 5_000 } as const;

function hasBody(headers: Record<string, unknown>): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

export type Server = ReturnType<typeof createServer>;

function statusOf(error: unknown): number {
  const status = typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' ? status : 500;
}

/** An error and its causes in one line. */
export function chain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${chain(error.cause)}`;
}

/** An expected refusal of the inventory becomes the sentence of an answer. */
export function orRefuse<T extends object>(result: T | Refused): T {
  if ('refused' in result) throw new RefusedError(409, result.refused);
  return result;
}

/** What was there a moment ago, and another operator may have removed since. */
export function shown<T>(view: T | undefined): T {
  if (view === undefined) throw new RefusedError(404, 'it was removed in the meantime');
  return view;
}
