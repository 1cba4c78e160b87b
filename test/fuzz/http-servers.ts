// The three HTTP servers of a controller, each over real parts on loopback, under `fuzzHttp`.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as tls } from 'node:tls';
import { serveHttp } from '../../boot/http.ts';
import { registerAgentApi } from '../../controller/api/agent-api.ts';
import { loadCredentials } from '../../controller/credentials.ts';
import { registerDrillApi } from '../../controller/api/drill-api.ts';
import { startDrills } from '../../controller/drill/drill.ts';
import { createServer } from '../../controller/api/serving/http.ts';
import { openOperatorApi } from '../../controller/api/operator-api.fixture.ts';
import { agentAuthorization } from '../../protocol/agent-authorization.ts';
import { fuzzHttp, loopback, requestBytes, statusOf, type Target } from './http.ts';
import { joinRequest, mac, startRack } from './rack.ts';
import type { Random } from './random.ts';

export async function fuzzBootHttp(count: number, random: Random): Promise<number> {
  const bytes = random.bytes(10_000);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const file = { sizeBytes: bytes.length, sha256, bytes: () => Promise.resolve(bytes) };
  const artefact = { artefact: file, type: 'application/octet-stream', stage: 'kernel' } as const;
  await using server = await serveHttp({
    address: '127.0.0.1',
    port: 0,
    artefacts: new Map([[`/kernel/${sha256}`, artefact]]),
    macOf: (ip) => (ip === '127.0.0.1' ? mac : undefined),
    refusal: () => undefined,
    script: (of) => Promise.resolve(`#!ipxe\necho ${of}\n`),
    stage: () => {},
    log: (line) => {
      throw new Error(line);
    },
  });
  const target: Target = {
    connect: loopback(server.port),
    patienceMs: 40,
    requests: [
      requestBytes(`GET /boot.ipxe?mac=${mac}`),
      requestBytes(`GET /kernel/${sha256}`, { headers: { range: 'bytes=5-99' } }),
      requestBytes(`GET /stage?mac=${mac}&stage=initramfs&detail=here`),
      requestBytes('GET /ipxe.efi', { headers: { upgrade: 'h2c', connection: 'upgrade' } }),
    ],
    answers: async () => (await statusOf(server.port, `/boot.ipxe?mac=${mac}`)) === 200,
  };
  return await fuzzHttp(target, { count, random });
}

export async function fuzzOperatorApi(count: number, random: Random): Promise<number> {
  await using rack = await startRack();
  const { inventory, rollCall, directory } = rack;
  await using stack = new AsyncDisposableStack();
  const app = createServer({ requestTimeout: 0 });
  const parts = { inventory, rollCall, directory: join(directory, 'images'), app };
  const { images } = stack.use(await openOperatorApi(parts));
  const clocks = { now: () => performance.now(), wallClock: Date.now };
  const drills = stack.use(
    startDrills({ inventory, rollCall, images, samplePath: '', random: randomBytes, ...clocks }),
  );
  registerDrillApi(app, { inventory, drills });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = portOf(app.server);
  const headers = { authorization: 'Bearer secret', 'content-type': 'application/json' };
  const trusted = (line: string, body: string) => requestBytes(line, { headers, body });
  const target: Target = {
    connect: loopback(port),
    patienceMs: 40,
    requests: [
      requestBytes('GET /v1/nodes'),
      requestBytes(`GET /v1/nodes/${mac}`),
      requestBytes('GET /v1/events?after=1&limit=5&subject=x'),
      trusted('POST /v1/customers', '{"name":"carl","onSilence":"hold","memoryBytes":99999999}'),
      trusted('PUT /v1/workloads/acme/web', '{"image":"web","replicas":2,"env":{"A":"b"},"port":80}'),
      trusted('POST /v1/kill', '{"customer":"acme","reason":"fuzz"}'),
      trusted('POST /v1/drills', '{"customer":"bird","share":0.5,"image":"web"}'),
      trusted('PUT /v1/drills/schedule', '{"everySeconds":3600,"request":{"share":1}}'),
      requestBytes('GET /v1/drills/1'),
      trusted('POST /v1/lift', '{"customer":"acme"}'),
      trusted(`PATCH /v1/nodes/${mac}`, '{"name":"other","slot":3,"fenced":true}'),
    ],
    answers: async () => (await statusOf(port, '/healthz')) === 200,
  };
  const answered = await fuzzHttp(target, { count, random });
  await nobodyConnected(app.server);
  return answered;
}

export async function fuzzAgentApi(count: number, random: Random): Promise<number> {
  await using rack = await startRack();
  const { inventory, directory, session } = rack;
  const { certificate, key } = await loadCredentials(directory, { random: randomBytes, address: '127.0.0.1' });
  const app = createServer({ https: { key, cert: certificate } });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => app.close());
  registerAgentApi(app, { inventory, squashfsDirectory: directory, now: Date.now });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = portOf(app.server);
  const json = { 'content-type': 'application/json' };
  const proven = (method: string, path: string) => ({
    ...json,
    authorization: agentAuthorization(session, { method, path }),
  });
  const [desired, report] = [`/v1/nodes/${mac}/desired`, `/v1/nodes/${mac}/report`];
  const squashfs = `/v1/squashfs/${'a'.repeat(64)}`;
  const log = { agoMs: 1, instance: 'web-00000001', stream: 'stdout', text: 'hello' };
  const said = JSON.stringify({ generation: 1, instances: [], sample: null, logs: [log] });
  const honest = requestBytes(`GET ${desired}`, { headers: proven('GET', desired) });
  const connect = () =>
    // One in four connections does not speak TLS at all.
    random.once(4) ? loopback(port)() : tls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  const target: Target = {
    connect,
    patienceMs: 250,
    requests: [
      honest,
      requestBytes(`POST ${report}`, { headers: proven('POST', report), body: said }),
      requestBytes('POST /v1/join', { headers: json, body: JSON.stringify(joinRequest('0'.repeat(64))) }),
      requestBytes(`GET ${squashfs}`, { headers: proven('GET', squashfs) }),
    ],
    answers: async () => {
      const socket = tls({ port, host: '127.0.0.1', rejectUnauthorized: false });
      socket.write(honest);
      const [bytes]: unknown[] = await once(socket, 'data');
      socket.destroy();
      return String(bytes).startsWith('HTTP/1.1 200 ');
    },
  };
  const answered = await fuzzHttp(target, { count, random });
  await nobodyConnected(app.server);
  return answered;
}

function portOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`the server listens on ${address}`);
  return address;
}

/** Resolves when the server has noticed that all its clients are gone. */
async function nobodyConnected(server: Server): Promise<void> {
  const limit = AbortSignal.timeout(10_000);
  const count = () => new Promise<number>((resolve) => server.getConnections((_error, open) => resolve(open)));
  while ((await count()) > 0) {
    limit.throwIfAborted();
    await turn();
  }
}
