// The registry as the controller serves it, over TLS on loopback: a real inventory, real files, the real conversion.
import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { sha256 } from '../../../images/digest.ts';
import { tokenSha256 } from '../../../inventory/operators/operators.ts';
import { testRack, type TestRack } from '../../../inventory/rack.fixture.ts';
import { createServer } from '../../api/serving/http.ts';
import { loadCredentials } from '../../credentials.ts';
import { openImageStore, type ImageStore } from '../image-store.ts';
import { registerRegistryApi } from './registry-api.ts';
import { startRegistry, type Registry, type RegistryOptions } from './registry.ts';

export interface Said {
  headers?: Record<string, string>;
  body?: Buffer | Readable | string;
  token?: string | undefined;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** Of an error body. */
  readonly code: string;
}

export interface RegistryPlace extends AsyncDisposable {
  rack: TestRack;
  images: ImageStore;
  registry: () => Promise<Registry>;
  directory: string;
  /** Where the certificate is, as clients are given it. */
  certificates: string;
  port: number;
  clock: { now: number };
  readonly ask: (route: string, said?: Said) => Promise<Answer>;
  /** At once; gives its digest. */
  pushBlob(repository: string, bytes: Buffer): Promise<string>;
  /** Of all clients that `ask` is asking for. */
  breakConnections(): void;
}

export async function registryPlace(limits: RegistryOptions['limits'] = {}): Promise<RegistryPlace> {
  await using stack = new AsyncDisposableStack();
  const rack = stack.use(await testRack());
  const { inventory } = rack;
  await inventory.operators.setRoot(tokenSha256('secret'));
  await inventory.customers.add({ name: 'acme', onSilence: 'stop', memoryBytes: 2 ** 30, processes: 512 });
  await inventory.customers.add({ name: 'bolt', onSilence: 'stop', memoryBytes: 2 ** 30, processes: 512 });
  const clock = { now: 1_800_000_000_000 };
  const now = () => clock.now;
  const images = await openImageStore({
    directory: join(rack.directory, 'images'),
    inventory,
    random: randomBytes,
    wallClock: now,
  });
  const directory = join(rack.directory, 'registry');
  const registry = startRegistry({ directory, inventory, images, random: randomBytes, now, limits });
  const certificates = join(rack.directory, 'certificates');
  const { key, certificate } = await loadCredentials(join(rack.directory, 'credentials'), {
    random: randomBytes,
    address: '127.0.0.1',
  });
  await mkdir(certificates);
  await writeFile(join(certificates, 'ca.crt'), certificate);
  const app = createServer({ https: { key, cert: certificate }, bodyMs: 30_000 });
  registerRegistryApi(app, { inventory, registry });
  stack.defer(() => app.close());
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo; // of a TCP server that listens
  const agent = new Agent({ rejectUnauthorized: false, keepAlive: true });
  stack.defer(() => agent.destroy());
  const owned = stack.move();
  return {
    rack,
    images,
    registry,
    directory,
    certificates,
    port,
    clock,
    ask: (route, said) => ask(route, { ...said, agent, port }),
    pushBlob: async (repository, bytes) => {
      const digest = `sha256:${sha256(bytes)}`;
      const headers = { 'content-type': 'application/octet-stream' };
      const route = `POST /v2/${repository}/blobs/uploads/?digest=${digest}`;
      const { status } = await ask(route, { body: bytes, headers, agent, port });
      if (status !== 201) throw new Error(`cannot push a blob: ${status}`);
      return digest;
    },
    breakConnections: () => {
      for (const sockets of Object.values(agent.sockets)) for (const socket of sockets ?? []) socket.destroy();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function ask(
  route: string,
  { headers = {}, body, token = 'secret', agent, port }: Said & { agent: Agent; port: number },
): Promise<Answer> {
  const [method, path] = route.split(' ');
  const authorization = `Basic ${Buffer.from(`anybody:${token}`).toString('base64')}`;
  const size =
    body === undefined
      ? { 'content-length': '0' }
      : typeof body === 'string' || Buffer.isBuffer(body)
        ? { 'content-length': String(Buffer.byteLength(body)) }
        : {};
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const asking = request(
    {
      host: '127.0.0.1',
      port,
      agent,
      method,
      path: path?.replace(/^https:\/\/[^/]+/, ''),
      headers: { ...(token === '' ? {} : { authorization }), ...size, ...headers },
    },
    (response) => {
      buffer(response).then((whole) => {
        const { statusCode = 0, headers: answered } = response;
        resolve({
          status: statusCode,
          headers: answered,
          body: whole,
          get code() {
            const { errors } = JSON.parse(whole.toString()) as { errors: { code: string; message: string }[] };
            return `${errors[0]?.code}: ${errors[0]?.message}`;
          },
        });
      }, reject);
    },
  );
  asking.once('error', reject);
  if (body instanceof Readable) body.pipe(asking);
  else asking.end(body);
  return promise;
}
