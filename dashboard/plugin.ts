// The dashboard: one page, served from memory. Its modules are TypeScript, as everywhere in this project; their types
// are taken off when the page is first asked for, so there is no build step, and a controller that restarts in a
// hurry does not wait for a page that nobody looks at.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { extname } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { reportStyle } from './kill-report.ts';

interface PageFile {
  type: string;
  body: Buffer;
  gzipped: Buffer;
  etag: string;
}

const types: ReadonlyMap<string, string> = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.css', 'text/css; charset=utf-8'],
  ['.svg', 'image/svg+xml'],
  // Browsers go by this type and not by the name: what leaves here is JavaScript.
  ['.ts', 'text/javascript; charset=utf-8'],
]);

// A report on a kill order is opened from the page, as a document that has the page's policy, and has its style in it.
const reportStyleHash = createHash('sha256').update(reportStyle).digest('base64');

// Nothing but our own files; no inline script or other style; and no way from text to markup, whatever a board calls itself.
const policy = [
  `default-src 'none'`,
  `script-src 'self'`,
  `style-src 'self' 'sha256-${reportStyleHash}'`,
  `img-src 'self'`,
  `connect-src 'self'`,
  `base-uri 'none'`,
  `form-action 'none'`,
  `frame-ancestors 'none'`,
  `require-trusted-types-for 'script'`,
  `trusted-types 'none'`,
].join('; ');

const headers = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Always asked anew, and answered in 304 unless the controller was updated.
  'cache-control': 'no-cache',
  vary: 'accept-encoding',
};

// What the page has in common with both ends. It imports them by the paths that they have here.
const sharedModules = ['protocol/timing.ts'];

/** Registers `GET /`, `GET /page/*` and the modules of `protocol/` that the page imports. Throws when a file cannot be read. */
export async function dashboard(app: FastifyInstance): Promise<void> {
  const sources = await readSources();
  const prepared = new Map<string, PageFile>();
  function fileNamed(name: string): PageFile | undefined {
    const source = sources.get(name);
    const known = prepared.get(name);
    if (known !== undefined || source === undefined) return known;
    const file = prepare(name, source);
    prepared.set(name, file);
    return file;
  }

  const open = { config: { needsNoToken: true } };
  app.get('/', open, (request, reply) => send({ request, reply }, fileNamed('index.html')));
  app.get<{ Params: { '*': string } }>('/page/*', open, (request, reply) =>
    send({ request, reply }, fileNamed(request.params['*'])),
  );
  for (const path of sharedModules)
    app.get(`/${path}`, open, (request, reply) => send({ request, reply }, fileNamed(path)));
}

/** The page's files by their path in it, shared ones by path; `x.test.ts` and `tsconfig.json` are not part of it. */
async function readSources(): Promise<Map<string, Buffer>> {
  const folder = new URL('page/', import.meta.url);
  const all = await readdir(folder, { recursive: true });
  const names = all.filter((name) => types.has(extname(name)) && !name.endsWith('.test.ts'));
  const own = names.map(async (name) => [name, await readFile(new URL(name, folder))] as const);
  const shared = sharedModules.map(
    async (path) => [path, await readFile(new URL(`../${path}`, import.meta.url))] as const,
  );
  return new Map(await Promise.all([...own, ...shared]));
}

function prepare(name: string, source: Buffer): PageFile {
  const extension = extname(name);
  const body = extension === '.ts' ? Buffer.from(stripTypeScriptTypes(source.toString())) : source;
  const digest = createHash('sha256').update(body).digest('base64url').slice(0, 27);
  return {
    type: types.get(extension) ?? 'application/octet-stream',
    body,
    gzipped: gzipSync(body),
    etag: `W/"${digest}"`,
  };
}

function send(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  file: PageFile | undefined,
): FastifyReply {
  if (file === undefined) return reply.status(404).send({ error: `there is no ${request.url.slice(0, 200)} here` });
  reply.headers(headers).header('etag', file.etag);
  if (matchesTag(request.headers['if-none-match'], file.etag)) return reply.status(304).send();
  reply.type(file.type);
  if (!acceptsGzip(request.headers['accept-encoding'])) return reply.send(file.body);
  return reply.header('content-encoding', 'gzip').send(file.gzipped);
}

function matchesTag(asked: string | undefined, etag: string): boolean {
  return asked?.split(',').some((tag) => tag.trim() === etag) ?? false;
}

function acceptsGzip(asked: string | undefined): boolean {
  return asked?.split(',').some((coding) => /^\s*gzip\s*($|;(?!\s*q=0(\.0*)?\s*$))/.test(coding)) ?? false;
}
