// `/v2/` on the agents' TLS port: the OCI distribution-spec 1.1 for skopeo, docker, podman, buildah and crane. Every request
// wants the token of an operator, as the password of whatever user.
import { createReadStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { errorChain } from '../../../protocol/error-chain.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import { tokenSha256 } from '../../../inventory/operators/operators.ts';
import type { Operator } from '../../../protocol/api/operators.ts';
import { wrongTokenGate } from '../../api/serving/authorization.ts';
import { RefusedError, type Server } from '../../api/serving/http.ts';
import { readOn } from '../../api/serving/read-on.ts';
import { errorBody, RegistryError } from './registry-error.ts';
import {
  byteRange,
  contentRange,
  pageOfTags,
  registryRequest,
  sha256Of,
  type Reference,
  type RegistryRequest,
} from './registry-request.ts';
import type { Registry, Stored } from './registry.ts';
import type { Upload, UploadPath } from './uploads.ts';

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
/** What a manifest may be, as the spec wants it at least. */
const manifestBytesLimit = 4 << 20;
/** Of a connection on which nothing comes or goes. */
const idleMs = 60_000;

export interface RegistryApiOptions {
  inventory: Inventory;
  registry: () => Promise<Registry>;
}

interface Asked {
  request: FastifyRequest;
  reply: FastifyReply;
  registry: Registry;
  operator: string;
}

export function registerRegistryApi(app: Server, { inventory, registry }: RegistryApiOptions): void {
  const admitsWrongToken = wrongTokenGate(inventory, 'registry');
  void app.register(async (scope) => {
    // Bodies are read as streams by their handlers, whatever they say they are.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', () => Promise.resolve());
    // oxlint-disable-next-line max-params -- the server calls it so
    scope.setErrorHandler((error, request, reply) => answerError(error, { request, reply }));
    scope.route({
      method: [...methods],
      url: '/v2/*',
      exposeHeadRoute: false,
      bodyLimit: Number.MAX_SAFE_INTEGER,
      config: { anyHost: true, ownPace: true },
      handler: async (request, reply) => {
        const token = passwordOf(request.headers.authorization);
        const asking = token === undefined ? undefined : inventory.operators.find(tokenSha256(token));
        if (asking === undefined)
          throw unauthorized({ isWrong: token !== undefined, admits: () => admitsWrongToken(request.ip) });
        app.connections.prove(request.raw.socket);
        reply.header('docker-distribution-api-version', 'registry/2.0');
        const what = registryRequest(pathOf(request));
        refuseByRole(asking, { what, request });
        const asked = { request, reply, operator: asking.name, registry: await registry() };
        return answer(what, asked);
      },
    });
  });
}

/** Whoever may read images may pull; a deployer has the repositories of its customer, and pulls those of nobody. */
function refuseByRole(
  { name, role, customer }: Operator,
  { what, request }: { what: RegistryRequest; request: FastifyRequest },
): void {
  if (role === 'root' || role === 'operator') return;
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (role !== 'deployer') {
    if (!isRead) throw new RegistryError([403, 'DENIED'], `${name} is a ${role}, and may pull and not push`);
    return;
  }
  const { from } = queryOf(request);
  const isOwn = (repository: string) => customer !== null && repository.startsWith(`${customer}/`);
  const mayRead = (repository: string) => isOwn(repository) || !repository.includes('/');
  const isRefused = 'repository' in what && !(isRead ? mayRead : isOwn)(what.repository);
  // What it mounts from, it reads.
  const other = isRefused ? what.repository : from !== undefined && !mayRead(from) ? from : undefined;
  if (other !== undefined)
    throw new RegistryError(
      [403, 'DENIED'],
      `${name} is a deployer of ${customer ?? 'nobody'}, and may ${isRead ? 'pull' : 'push'} what begins with ${customer ?? 'nobody'}/, and not ${other}`,
    );
}

function pathOf(request: FastifyRequest): string {
  const { '*': path = '' } = request.params as { '*'?: string }; // of the route's own wildcard
  return path;
}

/** The password of `Basic`, which is what these clients speak; or a bearer token. */
function passwordOf(header: string | undefined): string | undefined {
  const [, scheme, value] = /^(basic|bearer) +([^ ]{1,600})$/i.exec(header ?? '') ?? [];
  if (value === undefined) return undefined;
  if (scheme?.toLowerCase() === 'bearer') return value;
  const text = Buffer.from(value, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : text.slice(colon + 1);
}

function unauthorized({ isWrong, admits }: { isWrong: boolean; admits: () => boolean }): RegistryError {
  const challenge = { 'www-authenticate': 'Basic realm="muster"' };
  if (!isWrong)
    return new RegistryError(
      [401, 'UNAUTHORIZED'],
      "want an operator's token as the password, and any user",
      challenge,
    );
  if (!admits())
    return new RegistryError([429, 'TOOMANYREQUESTS'], 'too many wrong tokens, want a pause', { 'retry-after': '1' });
  return new RegistryError([401, 'UNAUTHORIZED'], 'no operator has this token (any more)', challenge);
}

function answerError(error: unknown, { request, reply }: Pick<Asked, 'request' | 'reply'>): void {
  const known = refusalOf(error);
  if (!request.raw.complete) {
    void reply.header('connection', 'close');
    // Strangers' bodies are not read at all.
    if (known.status !== 401 && known.status !== 429) readOn(request.raw);
  }
  void reply
    .status(known.status)
    .headers(known.headers)
    .type('application/json')
    .send(errorBody(known.code, known.message.slice(0, 1_000)));
}

function refusalOf(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  if (error instanceof RefusedError) return new RegistryError([error.status, 'DENIED'], error.message);
  if (error instanceof Error && 'code' in error && error.code === 'ENOSPC')
    return new RegistryError(
      [507, 'DENIED'],
      'cannot store it: the disk of the controller has no room; remove images that nothing uses',
    );
  const status =
    error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500;
  return new RegistryError([status, 'UNSUPPORTED'], errorChain(error));
}

async function answer(what: RegistryRequest, asked: Asked): Promise<FastifyReply> {
  const { request, reply } = asked;
  const { method } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  if (what.kind === 'base' && isRead) return reply.type('application/json').send('{}');
  if (what.kind === 'blob' && isRead) return sendBlob(what, asked);
  if (what.kind === 'blob' && method === 'DELETE') {
    await asked.registry.removeBlob(what.repository, what.sha256);
    return reply.status(202).send();
  }
  if (what.kind === 'manifest' && isRead) return sendManifest(what, asked);
  if (what.kind === 'manifest' && method === 'PUT') return takeManifest(what, asked);
  if (what.kind === 'manifest' && method === 'DELETE') {
    await asked.registry.removeManifest(what.repository, what.reference);
    return reply.status(202).send();
  }
  if (what.kind === 'tags' && isRead) return sendTags(what, asked);
  if (what.kind === 'uploads' && method === 'POST') return startUpload(what, asked);
  if (what.kind === 'upload') return continueUpload(what, asked);
  if (what.kind === 'referrers')
    // By the spec this sends clients to the tag sha256-<digest>, which they keep themselves.
    throw new RegistryError([404, 'UNSUPPORTED'], 'there is no list of referrers, want the tag sha256-<digest>');
  throw new RegistryError([405, 'UNSUPPORTED'], `cannot ${method} this`);
}

function sendBlob({ repository, sha256 }: { repository: string; sha256: string }, asked: Asked): FastifyReply {
  const { request, reply, registry } = asked;
  const found = registry.blob(repository, sha256);
  reply.header('accept-ranges', 'bytes').header('etag', `"sha256:${sha256}"`).type('application/octet-stream');
  const range = byteRange(request.headers.range ?? '', found.sizeBytes);
  if (range === 'beyond')
    throw new RegistryError([416, 'SIZE_INVALID'], `the blob has ${found.sizeBytes} bytes`, {
      'content-range': `bytes */${found.sizeBytes}`,
    });
  return sendFile(found, { ...asked, range });
}

function sendFile(
  { sha256, sizeBytes, path }: Stored,
  { request, reply, range }: Asked & { range?: { from: number; to: number } | undefined },
): FastifyReply {
  reply.header('docker-content-digest', `sha256:${sha256}`);
  if (range !== undefined) reply.status(206).header('content-range', `bytes ${range.from}-${range.to}/${sizeBytes}`);
  reply.header('content-length', range === undefined ? sizeBytes : range.to - range.from + 1);
  if (request.method === 'HEAD') return reply.send();
  if (sizeBytes === 0) return reply.send('');
  const part = range === undefined ? {} : { start: range.from, end: range.to };
  return reply.send(createReadStream(path, { highWaterMark: 1 << 18, ...part }));
}

function sendManifest(
  { repository, reference }: { repository: string; reference: Reference },
  asked: Asked,
): FastifyReply {
  const found = asked.registry.manifest(repository, reference);
  asked.reply.type(found.mediaType).header('etag', `"sha256:${found.sha256}"`);
  return sendFile(found, asked);
}

async function takeManifest(
  { repository, reference }: { repository: string; reference: Reference },
  { request, reply, registry, operator }: Asked,
): Promise<FastifyReply> {
  const bytes = await wholeBody(request.raw);
  const contentType = request.headers['content-type'];
  const { socket } = request.raw;
  // A conversion takes as long as it takes; its process has a limit.
  socket.setTimeout(0);
  try {
    const put = await registry.putManifest(repository, { reference, bytes, contentType, by: operator });
    reply.status(201).header('location', `/v2/${repository}/manifests/sha256:${put.sha256}`);
    reply.header('docker-content-digest', `sha256:${put.sha256}`);
    if (put.warning !== undefined) reply.header('warning', warningText(put.warning));
    return reply.send();
  } finally {
    socket.setTimeout(idleMs);
  }
}

/** RFC 7234 as the distribution-spec wants it: code 299, no agent, one quoted line of ASCII. */
function warningText(text: string): string {
  return `299 - "${text
    .replace(/[^ -~]/g, '?')
    .replace(/["\\]/g, "'")
    .slice(0, 400)}"`;
}

async function wholeBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request.iterator({ destroyOnReturn: false })) {
    const own = piece as Buffer; // a request's body without an encoding
    bytes += own.length;
    if (bytes > manifestBytesLimit)
      throw new RegistryError(
        [413, 'SIZE_INVALID'],
        `cannot store the manifest: it is more than ${manifestBytesLimit} bytes`,
      );
    pieces.push(own);
  }
  return Buffer.concat(pieces);
}

function sendTags({ repository }: { repository: string }, { request, reply, registry }: Asked): FastifyReply {
  const { n, last } = queryOf(request);
  if (n !== undefined && !/^[0-9]{1,6}$/.test(n))
    throw new RegistryError([400, 'UNSUPPORTED'], `cannot list ${JSON.stringify(n.slice(0, 20))} tags, want a number`);
  const page = pageOfTags(registry.tags(repository), { n: n === undefined ? undefined : Number(n), last });
  if (page.next !== undefined)
    reply.header('link', `</v2/${repository}/tags/list?n=${n}&last=${encodeURIComponent(page.next)}>; rel="next"`);
  return reply.type('application/json').send(JSON.stringify({ name: repository, tags: page.tags }));
}

function queryOf(request: FastifyRequest): Partial<Record<'n' | 'last' | 'digest' | 'mount' | 'from', string>> {
  const query = new URLSearchParams(request.url.replace(/^[^?]*\??/, ''));
  const found: Partial<Record<'n' | 'last' | 'digest' | 'mount' | 'from', string>> = {};
  for (const key of ['n', 'last', 'digest', 'mount', 'from'] as const) {
    const value = query.get(key);
    if (value !== null) found[key] = value;
  }
  return found;
}

async function startUpload({ repository }: { repository: string }, asked: Asked): Promise<FastifyReply> {
  const { request, reply, registry, operator } = asked;
  const { digest, mount, from } = queryOf(request);
  if (mount !== undefined && from !== undefined) {
    const sha256 = sha256Of(mount);
    if (await registry.mount(repository, { from, sha256 })) return created(reply, { repository, sha256 });
  }
  const upload = await registry.startUpload(repository, operator);
  if (digest === undefined) return accepted(reply, upload);
  const sha256 = sha256Of(digest);
  await registry.append(upload, { body: request.raw, from: undefined });
  await registry.finishUpload(upload, sha256);
  return created(reply, { repository, sha256 });
}

async function continueUpload(path: UploadPath, { request, reply, registry }: Asked): Promise<FastifyReply> {
  switch (request.method) {
    case 'GET':
      return accepted(reply.status(204), registry.upload(path));
    case 'PATCH':
      return accepted(reply, await registry.append(path, { body: request.raw, from: fromOf(request) }));
    case 'PUT': {
      registry.upload(path);
      const sha256 = sha256Of(queryOf(request).digest ?? '');
      await registry.append(path, { body: request.raw, from: fromOf(request) });
      await registry.finishUpload(path, sha256);
      return created(reply, { repository: path.repository, sha256 });
    }
    case 'DELETE':
      await registry.cancelUpload(path);
      return reply.status(204).send();
    default:
      throw new RegistryError(
        [405, 'UNSUPPORTED'],
        `cannot ${request.method} an upload, want GET, PATCH, PUT or DELETE`,
      );
  }
}

function fromOf(request: FastifyRequest): number | undefined {
  const text = request.headers['content-range'];
  if (text === undefined) return undefined;
  const range = contentRange(text);
  if (range === undefined)
    throw new RegistryError(
      [416, 'BLOB_UPLOAD_INVALID'],
      `cannot read the range ${JSON.stringify(text.slice(0, 60))}, want FIRST-LAST`,
    );
  return range.from;
}

function accepted(reply: FastifyReply, { repository, id, sizeBytes }: Upload): FastifyReply {
  if (reply.statusCode !== 204) reply.status(202);
  return reply
    .header('location', `/v2/${repository}/blobs/uploads/${id}`)
    .header('docker-upload-uuid', id)
    .header('range', `0-${Math.max(0, sizeBytes - 1)}`)
    .send();
}

function created(reply: FastifyReply, { repository, sha256 }: { repository: string; sha256: string }): FastifyReply {
  return reply
    .status(201)
    .header('location', `/v2/${repository}/blobs/sha256:${sha256}`)
    .header('docker-content-digest', `sha256:${sha256}`)
    .send();
}
