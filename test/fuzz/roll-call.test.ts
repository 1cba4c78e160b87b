// The short forms. The long ones: node test/fuzz/main.ts --protocol heartbeat 1000000 [SEED]
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzBeacon } from './beacon.ts';
import { fuzzCmdline } from './cmdline.ts';
import { fuzzHeartbeat } from './heartbeat.ts';
import { fuzzPermit } from './permit.ts';
import { seededRandom } from './random.ts';

const seed = 1;

test('10,000 mutated beacons are refused or read as what they say', () => {
  assert.ok(fuzzBeacon(10_000, seededRandom(seed)) > 1000);
});

test('3,000 heartbeats, forged, replayed and signed garbage: only what the board signed is answered', async () => {
  assert.ok((await fuzzHeartbeat(3000, seededRandom(seed))) > 500);
});

test('3,000 permits, forged, replayed and signed garbage: nobody runs longer than one permit lasts', () => {
  assert.ok(fuzzPermit(3000, seededRandom(seed)) > 1000);
});

test('5,000 mutated kernel command lines are read whole or refused by the name of the key', () => {
  assert.ok(fuzzCmdline(5000, seededRandom(seed)) > 500);
});
