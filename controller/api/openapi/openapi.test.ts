import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { testRack } from '../../../inventory/rack.fixture.ts';
import { startDrills } from '../../drill/drill.ts';
import { registerAgentApi } from '../agent-api.ts';
import { registerBackupApi } from '../backup-api.ts';
import { registerDrillApi } from '../drill-api.ts';
import { createServer } from '../serving/http.ts';
import { describeApi, everyRoute, openApiFile } from './openapi.ts';
import { idleRollCall, openOperatorApi } from '../operator-api.fixture.ts';

test('docs/openapi.json says what is served (node controller/api/openapi/openapi.ts writes it)', async () => {
  assert.equal(await readFile(openApiFile, 'utf8'), describeApi());
});

test('every route that is served is described, and every description is served', async () => {
  await using stack = new AsyncDisposableStack();
  const { inventory, directory } = stack.use(await testRack());
  const [app, agents] = [createServer(), createServer()];
  stack.defer(() => agents.close());
  const registered: string[] = [];
  for (const server of [app, agents])
    server.addHook('onRoute', ({ method, url }) => {
      if (method !== 'HEAD') registered.push(`${String(method)} ${url}`);
    });
  const rollCall = idleRollCall();
  const parts = { inventory, rollCall, directory: join(directory, 'images'), app };
  const { images } = stack.use(await openOperatorApi(parts));
  const clocks = { now: () => 0, wallClock: () => 0 };
  const drills = startDrills({ inventory, rollCall, images, samplePath: '', random: randomBytes, ...clocks });
  registerDrillApi(app, { inventory, drills: stack.use(drills) });
  registerBackupApi(app, { inventory, stateDirectory: directory });
  registerAgentApi(agents, { inventory, squashfsDirectory: directory, now: () => 0 });
  const described = Object.values(everyRoute).map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual(registered.toSorted(), described.toSorted());
});

test('redocly finds no fault by its recommended rules', async () => {
  const config = await createConfig({ extends: ['recommended'] });
  const found = await lintFromString({ source: describeApi(), absoluteRef: 'openapi.json', config });
  assert.deepEqual(
    found.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer ?? ''}`),
    [],
  );
});
