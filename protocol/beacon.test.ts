import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeBeacon, encodeBeacon } from './beacon.ts';

const uuid = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');

test('a beacon and a goodbye, byte for byte', () => {
  for (const [hex, port] of [
    ['5a524501000102030405060708090a0b0c0d0e0fc000', 49152],
    ['5a524501000102030405060708090a0b0c0d0e0f0000', 0],
  ] as const) {
    assert.equal(encodeBeacon({ uuid, port }).toString('hex'), hex);
    assert.deepEqual(decodeBeacon(Buffer.from(hex, 'hex')), { uuid, port });
  }
});

test('a Zyre CURVE beacon is read; wrong sizes and versions are refused by name', () => {
  const curve = Buffer.concat([encodeBeacon({ uuid, port: 1 }), Buffer.alloc(32)]);
  curve[3] = 3;
  assert.equal(decodeBeacon(curve).port, 1);
  assert.throws(() => decodeBeacon(curve.subarray(0, 9)), /9 bytes, want at least 22/);
  assert.throws(() => decodeBeacon(curve.subarray(0, 22)), /version 3 of 22 bytes/);
  assert.throws(() => decodeBeacon(Buffer.alloc(22)), /no prefix/);
});
