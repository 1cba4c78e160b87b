import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { macOf, placeWeb, testRack } from '../../../inventory/rack.fixture.ts';
import {
  bootMetrics,
  connectionMetrics,
  controllerMetrics,
  drillMetrics,
  Histories,
  inventoryMetrics,
  processMetrics,
} from './controller-metrics.ts';
import { renderMetrics } from './metrics.ts';
import { statusCounts } from '../views.ts';

const monitoring = fileURLToPath(new URL('../../../docs/monitoring', import.meta.url));

test('kills and boots are histograms, each counted once; what was before belongs to an earlier process', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  const nodes = [macOf(1), macOf(2)];
  await rack.ready(macOf(1));
  await placeWeb(inventory, { customer: 'old', nodes: [macOf(1)] });
  await inventory.orders.kill({ scope: 'old', reason: 'before', by: 'anna', targets: [macOf(1)] });
  await rack.pass(1_000);
  const histories = new Histories(inventory, rack.now());
  const lines = (start: string) =>
    renderMetrics(histories.metrics())
      .split('\n')
      .filter((line) => line.startsWith(start));
  const count = (labels: string) =>
    Number(lines(`muster_kill_evidence_seconds_count{${labels}}`)[0]?.split(' ').at(-1));
  const facts = { sentAfterMs: 1, stoppedAfterMs: 100, processes: 1 };
  await inventory.orders.saveReceipt({
    number: 1,
    mac: macOf(1),
    receipt: { evidence: 'receipt', evidenceAfterMs: 900, ...facts },
  });
  assert.equal(count('evidence="receipt",drill="false"'), 0);

  await rack.ready(macOf(2));
  await inventory.customers.add({ name: 'acme' });
  await inventory.orders.kill({ scope: 'acme', reason: 'now', by: 'anna', targets: nodes });
  await inventory.orders.saveReceipt({
    number: 2,
    mac: macOf(1),
    receipt: { evidence: 'receipt', evidenceAfterMs: 300, ...facts },
  });
  assert.equal(count('evidence="receipt",drill="false"'), 1);
  await inventory.orders.saveReceipt({
    number: 2,
    mac: macOf(2),
    receipt: { evidence: 'silence', evidenceAfterMs: 4_600, ...facts },
  });
  for (let scrape = 0; scrape < 3; scrape++) {
    assert.equal(count('evidence="receipt",drill="false"'), 1);
    assert.equal(count('evidence="silence",drill="false"'), 1);
  }
  assert.deepEqual(lines('muster_kill_evidence_seconds_bucket{evidence="silence",drill="false",le="4"'), [
    'muster_kill_evidence_seconds_bucket{evidence="silence",drill="false",le="4"} 0',
  ]);
  assert.deepEqual(lines('muster_kill_evidence_seconds_bucket{evidence="silence",drill="false",le="5"'), [
    'muster_kill_evidence_seconds_bucket{evidence="silence",drill="false",le="5"} 1',
  ]);
  assert.deepEqual(lines('muster_boot_duration_seconds_count{firmware="uboot"'), [
    'muster_boot_duration_seconds_count{firmware="uboot"} 1',
  ]);
});

test('what the alerts and the dashboard ask for is there from the start, on a rack that was never drilled', async () => {
  await using rack = await testRack();
  const { inventory } = rack;
  await placeWeb(inventory, { customer: 'acme', nodes: [] });
  const status = {
    version: '1',
    startedAt: 0,
    startupMs: 0,
    rack: 'r',
    twoPersonRule: false,
    ...statusCounts(inventory),
  };
  const text = renderMetrics([
    ...controllerMetrics({ status, rollCall: { refused: 0 }, listeners: 0 }),
    ...connectionMetrics({ operators: { open: 0, refused: 0 } }),
    ...inventoryMetrics(inventory),
    ...drillMetrics(inventory),
    ...new Histories(inventory, 0).metrics(),
    ...bootMetrics({ dhcp: { offers: 0 } }),
    ...processMetrics({ startedAt: 0, longestTurnMs: 0, lostLines: 0 }),
  ]);
  const there = new Set(text.split('\n').map((line) => /^[a-z_]+/.exec(line)?.[0]));
  const files = globSync(`${monitoring}/*`);
  assert.ok(files.length >= 3);
  const asked = files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/\b(muster|process|nodejs)_[a-z_]+\b/g)].map(([name]) => name),
  );
  assert.ok(asked.length > 40);
  assert.deepEqual(
    [...new Set(asked)].filter((name) => !there.has(name)),
    [],
  );
  assert.match(text, /^muster_drill_last_ok 0$/m);
  assert.match(text, /^muster_drill_last_timestamp_seconds 0$/m);
  // Each name has its help once, and no series comes twice.
  const series = text.split('\n').map((line) => line.replace(/ [^ ]*$/, ''));
  assert.equal(new Set(series).size, series.length);
});

test('customers beyond a number have no series of their own', async () => {
  await using rack = await testRack();
  await Promise.all(Array.from({ length: 203 }, (_, number) => rack.inventory.customers.add({ name: `c${number}` })));
  const text = renderMetrics(inventoryMetrics(rack.inventory));
  assert.equal(text.match(/^muster_customer_instances\{/gm)?.length, 200);
  assert.match(text, /^muster_customers_left_out 3$/m);
});
