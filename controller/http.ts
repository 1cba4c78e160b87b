// What the operators' and the agents' servers have in common: limits, validation that neither strips nor coerces,
// and refusals in one sentence.
import { isIP } from 'node:net';
import fastify, { type FastifyServerOptions } from 'fastify';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { Refused } from '../inventory/inventory.ts';

/** A request that is refused: the sentence goes to whoever asked. */
export class RefusedError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function createServer(options: Partial<FastifyServerOptions> & { https?: { key: string; cert: string } } = {}) {
  const app = fastify({
    // Slow and idle connections end by themselves; nothing here takes longer to send its headers.
    requestTimeout: 30_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 30_000,
    bodyLimit: 1_048_576,
    routerOptions: { maxParamLength: 200 },
    forceCloseConnections: true,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: true, allErrors: true } },
    schemaErrorFormatter: (errors, where) =>
      new Error(
        `cannot accept ${where}: ${errors
          .map(({ instancePath, message, params }) => {
            const key = 'additionalProperty' in params ? ` "${String(params['additionalProperty'])}"` : '';
            return `${instancePath.slice(1).replaceAll('/', '.')} ${message ?? 'is wrong'}${key}`.trim();
          })
          .join('; ')}`,
      ),
    ...options,
  }).withTypeProvider<TypeBoxTypeProvider>();

  // A page of another origin must not read us by a name that it points at our address (DNS rebinding).
  app.addHook('onRequest', (request, _reply, done) => {
    const name = request.hostname.replace(/^\[|\]$/g, '');
    done(
      isIP(name) !== 0 || name === 'localhost'
        ? undefined
        : new RefusedError(421, `cannot answer as ${name}, want an address or localhost`),
    );
  });

  app.setErrorHandler((error, _request, reply) => {
    const status = error instanceof RefusedError ? error.status : statusOf(error);
    if (status >= 500 && !(error instanceof RefusedError)) process.stderr.write(`muster: ${chain(error)}\n`);
    void reply.status(status).send({ error: chain(error) });
  });
  app.setNotFoundHandler((request, reply) => {
    void reply.status(404).send({ error: `there is nothing at ${request.method} ${request.url.slice(0, 200)}` });
  });
  return app;
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
