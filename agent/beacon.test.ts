import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { decodeBeacon, type Beacon } from '../protocol/beacon.ts';
import { until } from '../test/until.ts';
import { beaconUuid, startBeacon } from './beacon.ts';

test('beacons reach the broadcast address and the group, and the last one says goodbye', async (t) => {
  const heard: Beacon[] = [];
  const listener = createSocket({ type: 'udp4', reuseAddr: true });
  listener.on('message', (bytes) => heard.push(decodeBeacon(bytes)));
  listener.bind(0);
  await once(listener, 'listening');
  t.after(() => listener.close());
  listener.addMembership('224.0.0.250', '127.0.0.1');
  const { port } = listener.address();
  const sender = startBeacon({ interface: 'lo', mac: '02:00:00:00:00:01', bootId: 'one', port });
  await until('broadcast and group', () => heard.length >= 2);
  await sender[Symbol.asyncDispose]();
  await until('goodbye', () => heard.some((beacon) => beacon.port === 0));
  for (const { uuid } of heard) assert.ok(uuid.equals(beaconUuid('02:00:00:00:00:01', 'one')));
});

test('a board has another name for each boot, the same within one', () => {
  const mac = '02:00:00:00:00:01';
  assert.ok(beaconUuid(mac, 'one').equals(beaconUuid(mac, 'one')));
  assert.ok(!beaconUuid(mac, 'one').equals(beaconUuid(mac, 'two')));
  assert.ok(!beaconUuid(mac, 'one').equals(beaconUuid('02:00:00:00:00:02', 'one')));
});

test('an interface without an address sends nothing, and says no goodbye', async () => {
  const sender = startBeacon({ interface: 'none', mac: '02:00:00:00:00:01', bootId: 'one', port: 9 });
  await sender[Symbol.asyncDispose]();
});
