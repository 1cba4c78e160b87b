// The short form of the boot protocols' fuzz tests. The long one: node test/fuzz/main.ts 1000000 [SEED]

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzDhcp } from './dhcp.ts';
import { seededRandom } from './random.ts';
import { fuzzTftp } from './tftp.ts';

const seed = 1;

test('20,000 mutated DHCP packets: none breaks the server, none wins another board’s address', () => {
  assert.ok(fuzzDhcp(20_000, seededRandom(seed)) > 2000);
});

test('20,000 mutated TFTP packets: none breaks a transfer', () => {
  assert.ok(fuzzTftp(20_000, seededRandom(seed)) > 10_000);
});

test('a seed makes the same bytes again', () => {
  assert.deepEqual(seededRandom(5).bytes(100), seededRandom(5).bytes(100));
  assert.notDeepEqual(seededRandom(5).bytes(100), seededRandom(6).bytes(100));
});
