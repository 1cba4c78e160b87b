import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heartbeat, macOf, testRack, type TestRack } from '../rack.fixture.ts';

const mac = macOf(1);
const sample = {
  cpu: 0,
  cpuPerCore: [],
  memoryUsedBytes: 0,
  memoryTotalBytes: 0,
  temperatureCelsius: null,
  uptimeSeconds: 7_300,
  rxBytesPerSecond: 0,
  txBytesPerSecond: 0,
  agentRssBytes: 0,
  permitThreadDelayMs: 0,
};

test('a board that boots again by itself leaves what is known of it; a first boot and a new agent leave nothing', async () => {
  await using rack = await testRack();
  await rack.ready(mac, 'one');
  assert.deepEqual(await restarts(rack, 0), []);
  rack.inventory.samples.add(new Map([[mac, sample]]), rack.now());
  await rack.pass(60_000);
  await heartbeat(rack, mac);
  await rack.ready(mac, 'two');
  assert.deepEqual(await restarts(rack, 1), [
    'restarted, and nobody asked for it: it had been up for 2 h, its last heartbeat came 4.5 s before its firmware asked ' +
      'for an address. Its power, its watchdog, or a panic of its kernel: the last lines of its serial console tell which',
  ]);
});

test('a restart that somebody asked for names him, and explains no later one', async () => {
  await using rack = await testRack();
  await rack.ready(mac, 'one');
  rack.inventory.events.add({ kind: 'node', subject: mac, message: 'reboot asked for by anna' });
  await rack.ready(mac, 'two');
  await rack.ready(mac, 'three');
  const [first, second] = await restarts(rack, 2);
  assert.equal(first, 'restarted: reboot asked for by anna');
  assert.match(second ?? '', /nobody asked for it/);
});

/** So many of them, as soon as they are there. */
async function restarts({ inventory }: TestRack, count: number): Promise<string[]> {
  for (const deadline = performance.now() + 20_000; ;) {
    const events = await inventory.events.list({ limit: 100, subject: mac });
    const found = events.map(({ message }) => message).filter((message) => message.startsWith('restarted'));
    if (found.length >= count) return found;
    assert.ok(performance.now() < deadline, `${found.length} restarts are told, want ${count}`);
  }
}
