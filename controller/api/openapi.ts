// `docs/openapi.json`: made from the very routes that are served, so it cannot say anything else. Checked in, so that a
// change of the API shows in review. Run this file to write it anew.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import swagger from '@fastify/swagger';
import { openInventory } from '../../inventory/inventory.ts';
import { registerAgentApi } from './agent-api.ts';
import { registerBackupApi } from './backup-api.ts';
import { registerDrillApi } from './drill-api.ts';
import { startDrills } from '../drill/drill.ts';
import { createServer } from './http.ts';
import { openImageStore } from '../image-store.ts';
import { createNodeShell } from '../kill/node-shell.ts';
import { registerOperatorApi } from './operator-api.ts';
import { startStream } from './stream.ts';
import { statusCounts } from './views.ts';
import { version } from '../version.ts';

export const openApiFile = new URL('../../docs/openapi.json', import.meta.url);

export async function describeApi(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'openapi-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true }));
  const inventory = stack.use(await openInventory({ directory, now: () => 0, random: randomBytes }));
  const app = createServer();
  stack.defer(() => app.close());
  await app.register(swagger, {
    openapi: {
      info: {
        title: 'Muster',
        version,
        description:
          'Operators: HTTP on loopback; every request but /healthz wants an operator\u2019s token. ' +
          'Agents: /v1/join, /v1/nodes/{mac}/desired, /v1/nodes/{mac}/configurations/{sha256}, /v1/nodes/{mac}/report and /v1/squashfs/{sha256}, over TLS on the rack\u2019s interface.',
      },
      components: { securitySchemes: { operator: { type: 'http', scheme: 'bearer' } } },
    },
  });
  const status = () => ({
    version,
    startedAt: 0,
    startupMs: 0,
    rack: '',
    twoPersonRule: false,
    ...statusCounts(inventory),
  });
  const stream = startStream({ inventory, status });
  stack.defer(() => stream.close());
  const rollCall = {
    counters: { beacons: 0, heartbeats: 0, permits: 0, refused: 0, sendErrors: 0 },
    enforce() {},
    orderGiven() {},
    sinceGiven: () => 0,
    askedForMs: () => 0,
    listeningForMs: () => 0,
    mayHold: () => false,
    heardUpTo: () => 0,
    taken: () => Promise.resolve(),
  };
  const clocks = { now: () => 0, wallClock: () => 0 };
  const images = await openImageStore({ directory, inventory, random: randomBytes, ...clocks });
  registerOperatorApi(app, {
    inventory,
    rollCall,
    images,
    shell: createNodeShell(''),
    stream,
    status,
    metrics: () => '',
    token: '',
  });
  const drills = startDrills({ inventory, rollCall, images, samplePath: '', random: randomBytes, ...clocks });
  registerBackupApi(app, { inventory, stateDirectory: directory });
  registerDrillApi(app, { inventory, drills: stack.use(drills) });
  registerAgentApi(app, { inventory, squashfsDirectory: directory, now: () => 0 });
  await app.ready();
  return `${JSON.stringify(app.swagger(), null, 2)}\n`;
}

if (import.meta.main) await writeFile(openApiFile, await describeApi());
