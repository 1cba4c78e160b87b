import assert from 'node:assert/strict';
import { test } from 'node:test';
import { macOf, testRack } from '../../inventory/rack.fixture.ts';
import { lostAfterMs } from '../../protocol/timing.ts';
import { nodeView } from './views.ts';

test('a node that starts anew shows no load from before its restart', async () => {
  await using rack = await testRack();
  const mac = macOf(1);
  const sample = {
    cpu: 0.5,
    cpuPerCore: [0.5],
    memoryUsedBytes: 1,
    memoryTotalBytes: 2,
    temperatureCelsius: 41,
    uptimeSeconds: 7_000,
    rxBytesPerSecond: 0,
    txBytesPerSecond: 0,
    agentRssBytes: 1,
    permitThreadDelayMs: 0,
  };
  await rack.ready(mac);
  rack.inventory.samples.add(new Map([[mac, sample]]), rack.now());
  assert.deepEqual(nodeView(rack.inventory, mac)?.sample, sample);
  // As long as it is heard its place is its own.
  await rack.pass(lostAfterMs);
  await rack.inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
  await rack.inventory.nodes.bootStage({ mac, stage: 'kernel' });
  const view = nodeView(rack.inventory, mac);
  assert.deepEqual([view?.state, view?.sample], ['loading', null]);
});
