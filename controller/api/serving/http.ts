// What the operators' and the agents' servers have in common: limits, validation that neither strips nor coerces,
// and refusals in one sentence. Permits wait while a request is worked on, so what a stranger can make us do is little:
// connections are counted (`boot/connection-limit.ts`), bodies are small, and the first thing that is wrong is the last that
// is looked at.
import { isIP } from 'node:net';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { errorChain } from '../../../protocol/error-chain.ts';
import { limitConnections, type ConnectionGate, type ConnectionLimits } from '../../../boot/connection-limit.ts';
import type { Refused } from '../../../inventory/refused.ts';
import { StorageError } from '../../../inventory/store/store.ts';
import {
  problemCodeOf,
  problemMediaType,
  problemOf,
  problems,
  type ProblemCode,
} from '../../../protocol/api/problem.ts';
import type { Route } from '../../../protocol/api/route.ts';
import { answerInSlices } from './sliced-answers.ts';
import { invalidRequest, quoted, unknownParameter, type Fault } from './request-words.ts';

/** A request that is refused: the sentence goes to whoever asked, the code to their program. */
export class RefusedError extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  /** Beside those of every answer. */
  readonly headers: Readonly<Record<string, string>>;
  // oxlint-disable-next-line max-params -- as of an error: what it is, what it says, and what some add
  constructor(
    status: number,
    message: string,
    {
      code = problemCodeOf(status),
      headers = {},
    }: { code?: ProblemCode; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    connections: ConnectionGate;
  }
  interface FastifyContextConfig {
    /** Of routes that the API describes. */
    described?: Route;
    /** It may be asked by any name: its clients are no browsers, and send a token by themselves with nothing. */
    anyHost?: boolean;
    /** Its bodies are bounded by their handler, whatever time they take. */
    ownPace?: boolean;
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
  /** How long a body may take to come, but for routes that see to it themselves; the server's own limit where left out. */
  bodyMs?: number;
  /** Told of each request that failed by a fault of ours. */
  onFault?: (message: string) => void;
}

export function createServer({
  https,
  onFault,
  bodyMs,
  connections = { total: 256, perAddress: 256, ...(https === undefined ? {} : { handshakes: 32 }) },
  ...options
}: ServerOptions = {}) {
  const answerError = errorAnswers(onFault);
  const intervals = { connectionsCheckingInterval: 2_000, maxHeaderSize: 16_384 };
  const app = fastify({
    // Slow and idle connections end by themselves; nothing here takes longer to send its headers.
    requestTimeout: bodyMs === undefined ? 30_000 : 0,
    connectionTimeout: 60_000,
    keepAliveTimeout: 30_000,
    bodyLimit: bodyLimitBytes,
    routerOptions: { maxParamLength: 200 },
    forceCloseConnections: true,
    // The first error ends it: a body of half a million errors is refused by its first.
    ajv: {
      customOptions: {
        removeAdditional: false,
        coerceTypes: false,
        useDefaults: true,
        allErrors: false,
        verbose: true,
      },
    },
    schemaErrorFormatter: (errors, where) => refusedFor(invalidRequest(errors, where)),
    frameworkErrors: answerError,
    ...(https === undefined ? { http: intervals } : { https: { ...intervals, ...https, ...tlsLimits } }),
    ...options,
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.headersTimeout = headersMs;
  app.decorate('connections', limitConnections(app.server, connections));
  app.addHook('onRequest', async (_request, reply) => {
    // For browsers: what is answered is for our own page, and is what it says it is.
    reply.headers({ 'x-content-type-options': 'nosniff', 'cross-origin-resource-policy': 'same-origin' });
  });

  // A page of another origin must not read us by a name that it points at our address (DNS rebinding).
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.config.anyHost === true) return;
    const name = request.hostname.replace(/^\[|\]$/g, '');
    if (isIP(name) === 0 && name !== 'localhost')
      throw new RefusedError(421, `cannot answer as ${name}, want an address or localhost`);
  });

  if (bodyMs !== undefined) app.addHook('onRequest', async (request) => endLateBody(request, bodyMs));

  // What nobody reads would be taken for a string.
  app.removeContentTypeParser('text/plain');
  app.addHook('preParsing', async (request) => refuseMediaType(request));
  app.addHook('preValidation', async (request) => refuseNeedlessQuery(request));

  answerInSlices(app);
  const methods = allowedMethods(app);
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.replace(/\?.*/s, '').slice(0, pathCharacters);
    const allowed = methods(path);
    const refused =
      allowed.length === 0
        ? new RefusedError(404, `there is nothing at ${request.method} ${path}`, { code: 'no-route' })
        : new RefusedError(405, `cannot ${request.method} ${path}, want ${allowed.join(' or ')}`, {
            headers: { allow: allowed.join(', ') },
          });
    answerError(refused, request, reply);
  });
  return app;
}

const pathCharacters = 200;

/** A route as it was described: its handler is all that is left to give. */
export function served<const R extends Route>(
  route: R,
): { method: R['method']; url: R['path']; schema: R['schema']; config: { described: R } } {
  return { method: route.method, url: route.path, schema: route.schema, config: { described: route } };
}

// oxlint-disable-next-line max-params -- the server calls it so
type AnswerError = (error: unknown, request: FastifyRequest, reply: FastifyReply) => void;

function errorAnswers(onFault: ServerOptions['onFault']): AnswerError {
  // oxlint-disable-next-line max-params -- the server calls it so
  return (error, request, reply) => {
    const refused = error instanceof RefusedError ? error : refusedBy(error);
    if (refused.status >= 500 && refused !== error)
      onFault?.(`cannot answer ${request.method} ${request.url.slice(0, pathCharacters)}: ${errorChain(error)}`);
    // What is left unread of a refused request is not read: the connection ends with the answer.
    if (!request.raw.complete && hasBody(request.headers)) void reply.header('connection', 'close');
    const { status, code } = refused;
    void reply
      .status(status)
      .headers(refused.headers)
      .type(problemMediaType)
      .send(problemOf({ status, code, detail: errorChain(refused).slice(0, refusalCharacters) }));
  };
}

/** What the framework, or a fault of ours, says. */
function refusedBy(error: unknown): RefusedError {
  if (error instanceof StorageError && error.kind === 'full') return new RefusedError(507, errorChain(error));
  const status = statusOf(error);
  const name = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  const isJson = name === 'FST_ERR_CTP_INVALID_JSON_BODY' || name === 'FST_ERR_CTP_EMPTY_JSON_BODY';
  if (isJson || (status === 400 && error instanceof SyntaxError))
    return new RefusedError(400, `cannot read the body: ${errorChain(error)}, want a JSON document`, {
      code: 'invalid-json',
    });
  if (status === 413) return new RefusedError(413, 'cannot read the body: it is longer than what is read here');
  return new RefusedError(status, errorChain(error));
}

function refusedFor({ code, detail }: Fault): RefusedError {
  return new RefusedError(problems[code].status, detail, { code });
}

/** A body that its route does not read is refused before it comes. */
function refuseMediaType(request: FastifyRequest): void {
  const { described } = request.routeOptions.config;
  if (described === undefined || !hasBody(request.headers)) return;
  const wanted = described.consumes ?? 'application/json';
  const type = request.headers['content-type']?.replace(/;.*/s, '').trim().toLowerCase() ?? '';
  if (type === wanted) return;
  const is = type === '' ? 'missing' : quoted(type);
  throw new RefusedError(415, `cannot read the body: its content type is ${is}, want ${wanted}`, {
    headers: { accept: wanted },
  });
}

/** The server's own limit is for all of its requests. */
function endLateBody({ raw, headers, routeOptions }: FastifyRequest, bodyMs: number): void {
  if (routeOptions.config.ownPace === true || raw.complete || !hasBody(headers)) return;
  const timer = setTimeout(() => raw.destroy(), bodyMs);
  raw.once('close', () => clearTimeout(timer)).once('end', () => clearTimeout(timer));
}

function refuseNeedlessQuery(request: FastifyRequest): void {
  const { described } = request.routeOptions.config;
  if (described === undefined || described.schema.querystring !== undefined) return;
  const [name] = Object.keys(typeof request.query === 'object' && request.query !== null ? request.query : {});
  if (name !== undefined) throw refusedFor(unknownParameter(quoted(name), []));
}

/** By path, from what is registered: the router itself says only that a method has no such path. */
function allowedMethods(app: FastifyInstance): (path: string) => string[] {
  const routes: { method: string; parts: readonly string[] }[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    if (url.includes('*')) return;
    for (const each of [method].flat()) routes.push({ method: each, parts: url.split('/') });
  });
  return (path) => {
    const parts = path.split('/');
    const fits = (own: readonly string[]) =>
      own.length === parts.length &&
      own.every((part, at) => part === parts[at] || (part.startsWith(':') && parts[at] !== ''));
    return [...new Set(routes.filter((route) => fits(route.parts)).map(({ method }) => method))].toSorted();
  };
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
