// The HTTP that boards speak before they run our agent: UEFI, iPXE and busybox wget. Plain HTTP: what matters is pinned by
// its hash, and the join token in a script is good for one start of one board.
//
//   GET  /boot.ipxe?mac=              the script for this board
//   GET  /ipxe.efi                    iPXE, for UEFI HTTP boot
//   GET  /kernel|initrd|image|dtb/<sha256>   immutable, with Range; all but dtb: not for a board that is fenced
//   GET  /stage?mac=&stage=[&detail=] what a script or the initramfs has to report

import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { type Mac, parseMac } from '../protocol/mac.ts';
import type { Artefact } from './artefacts.ts';
import { limitConnections } from './connection-limit.ts';
import { type Ipv4, anyAddress, parseIpv4 } from '../protocol/ipv4.ts';
import { type BootStage, isReportedStage } from '../protocol/boot/boot-stage.ts';

export interface HttpCounters {
  requests: number;
  /** Requests that were not HTTP, or asked for what is not there or not theirs. */
  refused: number;
  failed: number;
  bytesSent: number;
}

export interface HttpOptions {
  address: Ipv4;
  port: number;
  /** How many connections it may hold; a rack's worth where left out. */
  connections?: number | undefined;
  /** By path: `/ipxe.efi`, `/kernel/<sha256>`. */
  artefacts: ReadonlyMap<string, { artefact: Artefact; type: string; stage: BootStage | undefined }>;
  /** The board that has this address now. */
  macOf(ip: Ipv4): Mac | undefined;
  /** Why this board gets no system; undefined where it may have one. */
  refusal(mac: Mac): string | undefined;
  script(mac: Mac, ip: Ipv4): Promise<string>;
  stage(event: { mac: Mac; ip: Ipv4; stage: BootStage; detail?: string }): void;
  log(line: string): void;
}

export interface HttpServer extends AsyncDisposable {
  readonly counters: Readonly<HttpCounters>;
  readonly port: number;
}

const limits = {
  headerBytes: 8192,
  headersMs: 10_000,
  requestMs: 20_000,
  /** A connection on which nothing moves is closed: a board that lost power does not say goodbye. */
  idleMs: 30_000,
  keepAliveMs: 5_000,
  connections: 4096,
  /** Of one address. A board uses one or two. */
  connectionsPerBoard: 16,
  urlLength: 1024,
  detailLength: 200,
};

const serverOptions = {
  maxHeaderSize: limits.headerBytes,
  headersTimeout: limits.headersMs,
  requestTimeout: limits.requestMs,
  keepAliveTimeout: limits.keepAliveMs,
  connectionsCheckingInterval: 2000,
};

export async function serveHttp(options: HttpOptions): Promise<HttpServer> {
  const counters: HttpCounters = { requests: 0, refused: 0, failed: 0, bytesSent: 0 };

  const server = createServer(serverOptions, (request, response) => {
    counters.requests++;
    response.on('error', ignore);
    respond(request, response).catch((error: unknown) => {
      counters.failed++;
      options.log(`cannot answer ${request.method} ${request.url}: ${String(error)}`);
      if (!response.headersSent) plain(response, { status: 500, text: 'the boot server failed; ask again' });
      else response.destroy();
    });
  });
  const gate = limitConnections(server, {
    total: options.connections ?? limits.connections,
    perAddress: limits.connectionsPerBoard,
    onRefused: () => counters.refused++,
  });
  server.setTimeout(limits.idleMs);
  server.on('connection', (socket) => socket.on('error', ignore));
  refuseOthers(server, counters);

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const head = request.method === 'HEAD';
    if (request.method !== 'GET' && !head) return refuse(response, { status: 405, reason: 'want GET or HEAD' });
    if (request.url === undefined || request.url.length > limits.urlLength)
      return refuse(response, { status: 414, reason: `want at most ${limits.urlLength} characters` });
    const [pathname, query] = request.url.split('?', 2);
    const ip = address(request.socket.remoteAddress);
    if (options.macOf(ip) !== undefined) gate.prove(request.socket);
    const stored = options.artefacts.get(pathname ?? '');
    if (stored !== undefined) {
      const mac = options.macOf(ip);
      const refused = mac === undefined || stored.stage === undefined ? undefined : options.refusal(mac);
      if (mac !== undefined && refused !== undefined) {
        options.stage({ mac, ip, stage: 'fenced', detail: refused });
        return refuse(response, { status: 403, reason: `this board gets no system: ${refused}` });
      }
      if (!head && mac !== undefined && stored.stage !== undefined) options.stage({ mac, ip, stage: stored.stage });
      return sendArtefact({ request, response }, { ...stored, counters });
    }
    if (pathname !== '/boot.ipxe' && pathname !== '/stage')
      return refuse(response, { status: 404, reason: 'no such file' });

    const parameters = new URLSearchParams(query ?? '');
    const mac = parseMac(parameters.get('mac') ?? '');
    if (mac === undefined) return refuse(response, { status: 400, reason: 'want ?mac=, a MAC address' });
    // A script holds a join token, and a report changes what we believe of a board: both are the board's own.
    if (options.macOf(ip) !== mac)
      return refuse(response, { status: 403, reason: `${ip} is not the address of ${mac}` });
    if (pathname === '/boot.ipxe') {
      if (!head) options.stage({ mac, ip, stage: 'script' });
      return plain(response, { status: 200, text: head ? '' : await options.script(mac, ip) });
    }
    const stage = parameters.get('stage') ?? '';
    if (!isReportedStage(stage))
      return refuse(response, { status: 400, reason: 'want ?stage=, a stage that a board may report' });
    const detail = printable(parameters.get('detail') ?? '');
    if (!head) options.stage({ mac, ip, stage, ...(detail === '' ? {} : { detail }) });
    return plain(response, { status: 200, text: 'noted\n' });
  }

  function refuse(response: ServerResponse, { status, reason }: { status: number; reason: string }): void {
    counters.refused++;
    plain(response, { status, text: `${reason}\n` });
  }

  await listen(server, options);
  const bound = server.address();
  return {
    counters,
    port: bound !== null && typeof bound === 'object' ? bound.port : options.port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** What is no request for a file. */
function refuseOthers(server: Server, counters: HttpCounters): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    counters.refused++;
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
    else socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
  server.on('upgrade', (_request, socket) => {
    counters.refused++;
    socket.destroy();
  });
  server.on('connect', (_request, socket) => {
    counters.refused++;
    socket.destroy();
  });
}

async function listen(server: Server, { address: host, port }: { address: Ipv4; port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EADDRINUSE'
          ? 'another program has this port'
          : error.code === 'EADDRNOTAVAIL'
            ? 'this machine does not have this address'
            : error.message;
      reject(new Error(`cannot serve boot files on ${host}:${port}/tcp: ${why}`, { cause: error }));
    });
    // A rack that powers on at once knocks 684 times before we come to accept.
    server.listen({ host, port, backlog: 2048 }, resolve);
  });
}

async function sendArtefact(
  { request, response }: { request: IncomingMessage; response: ServerResponse },
  { artefact, type, counters }: { artefact: Artefact; type: string; counters: HttpCounters },
): Promise<void> {
  const { sizeBytes, sha256 } = artefact;
  const etag = `"${sha256}"`;
  response.setHeader('Content-Type', type);
  response.setHeader('ETag', etag);
  response.setHeader('Cache-Control', 'public, max-age=31536000, immutable');
  response.setHeader('Accept-Ranges', 'bytes');
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return;
  }
  const ifRange = request.headers['if-range'];
  const header = ifRange === undefined || ifRange === etag ? request.headers.range : undefined;
  const range = parseRange(header, sizeBytes);
  if (range === 'unsatisfiable') {
    counters.refused++;
    response.writeHead(416, { 'Content-Range': `bytes */${sizeBytes}`, 'Content-Length': 0 }).end();
    return;
  }
  const { from, to } = range ?? { from: 0, to: sizeBytes - 1 };
  // Before anything is promised: a file that changed on the disk is an answer of 500 and not half a file.
  const bytes = request.method === 'HEAD' ? undefined : await artefact.bytes();
  response.setHeader('Content-Length', to + 1 - from);
  if (range !== undefined) response.setHeader('Content-Range', `bytes ${from}-${to}/${sizeBytes}`);
  response.writeHead(range === undefined ? 200 : 206);
  if (bytes === undefined) {
    response.end();
    return;
  }
  counters.bytesSent += to + 1 - from;
  response.end(bytes.subarray(from, to + 1));
}

/**
 * One range of RFC 9110, 14.2; `undefined` (send everything) where there is none, or several, or it cannot be read.
 */
export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): { from: number; to: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const suffix = Math.min(Number(last), sizeBytes);
    return suffix === 0 ? 'unsatisfiable' : { from: sizeBytes - suffix, to: sizeBytes - 1 };
  }
  const from = Number(first);
  const to = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (last !== '' && Number(last) < from) return undefined;
  return from >= sizeBytes ? 'unsatisfiable' : { from, to };
}

function plain(response: ServerResponse, { status, text }: { status: number; text: string }): void {
  const body = Buffer.from(text);
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
  });
  response.end(body);
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, limits.detailLength);
}

/** `::ffff:10.77.0.1` is an IPv4 address in disguise. */
function address(remote: string | undefined): Ipv4 {
  const text = (remote ?? '').replace(/^::ffff:/, '');
  return parseIpv4(text) === undefined ? anyAddress : text;
}

/** A connection that broke: the board will come again, and its socket closes itself. */
function ignore(): void {}
