import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { MalformedError } from './bytes.ts';
import {
  claimedSession,
  customersPerNodeLimit,
  datagramLimitBytes,
  decodeHeartbeat,
  decodePermit,
  encodeHeartbeat,
  encodePermit,
  ordersPerPermitLimit,
  type Heartbeat,
  type Permit,
} from './roll-call.ts';

const key = Buffer.alloc(32, 7);
const session = Buffer.alloc(16, 1);
const nonce = Buffer.alloc(16, 2);
const heartbeat: Heartbeat = {
  session,
  sequence: 5n,
  nonce,
  generation: 9n,
  permitSequence: 4n,
  uptimeSeconds: 61,
  load: 0.25,
  customers: [{ customer: 'acme', instances: 2, processes: 6 }],
  receipts: [{ order: 3n, stoppedAfterMs: 143, processes: 6 }],
};
const permit: Permit = {
  session,
  sequence: 8n,
  nonce,
  generation: 9n,
  validityMs: 3000,
  customers: [
    { customer: 'acme', hold: false },
    { customer: 'bolt', hold: true },
  ],
  orders: [
    { order: 3n, scope: 'crab' },
    { order: 4n, scope: '*' },
  ],
};

test('a heartbeat in bytes', () => {
  const bytes = encodeHeartbeat(heartbeat, key);
  assert.equal(
    bytes.subarray(0, -32).toString('hex'),
    '4d555354' +
      '01' +
      '01' +
      '0000' +
      '01'.repeat(16) +
      '0000000000000005' +
      '02'.repeat(16) +
      '0000000000000009' +
      '0000000000000004' +
      '0000003d' +
      '0019' +
      '01' +
      '0461636d65' +
      '0002' +
      '0006' +
      '01' +
      '0000000000000003' +
      '0000008f' +
      '0006',
  );
  assert.deepEqual(decodeHeartbeat(bytes, key), heartbeat);
  assert.deepEqual(claimedSession(bytes), session);
});

test('a permit in bytes', () => {
  const bytes = encodePermit(permit, key);
  assert.equal(
    bytes.subarray(48, -32).toString('hex'),
    '0000000000000009' +
      '0bb8' +
      '02' +
      '0461636d65' +
      '00' +
      '04626f6c74' +
      '01' +
      '02' +
      '0000000000000003' +
      '0463726162' +
      '0000000000000004' +
      '012a',
  );
  assert.deepEqual(decodePermit(bytes, key), permit);
});

test('a forged, truncated, mistyped or foreign datagram is refused', () => {
  const bytes = encodePermit(permit, key);
  const flipped = Buffer.from(bytes);
  flipped[60] = (flipped[60] ?? 0) ^ 1;
  assert.throws(() => decodePermit(flipped, key), /wrong signature/);
  assert.throws(() => decodePermit(bytes, Buffer.alloc(32, 8)), /wrong signature/);
  assert.throws(() => decodeHeartbeat(bytes, key), /type 2, want 1/);
  for (let length = 0; length < bytes.length; length++)
    assert.throws(() => decodePermit(bytes.subarray(0, length), key), MalformedError);
  assert.equal(claimedSession(Buffer.from('ZRE')), undefined);
});

test('a signed datagram with a lying count is refused, not read past its end', () => {
  const bytes = encodePermit({ ...permit, orders: [] }, key);
  assert.throws(() => {
    const body = Buffer.from(bytes.subarray(0, -32));
    body[body.length - 1] = 200;
    decodePermit(encodeRaw(body), key);
  }, /want at least/);
});

test('the largest permit and heartbeat fit one datagram', () => {
  const names = Array.from({ length: customersPerNodeLimit }, (_, i) => `customer_${String(i).padStart(3, '0')}`);
  const big = encodePermit(
    {
      ...permit,
      customers: names.map((customer) => ({ customer, hold: true })),
      orders: names.slice(0, ordersPerPermitLimit).map((scope, i) => ({ order: BigInt(i), scope })),
    },
    key,
  );
  assert.ok(big.length <= datagramLimitBytes);
  const beat = encodeHeartbeat(
    {
      ...heartbeat,
      customers: names.map((customer) => ({ customer, instances: 9, processes: 9 })),
      receipts: names
        .slice(0, ordersPerPermitLimit)
        .map((_, i) => ({ order: BigInt(i), stoppedAfterMs: 1, processes: 1 })),
    },
    key,
  );
  assert.ok(beat.length <= datagramLimitBytes);
});

test('random bytes never do more than throw MalformedError', () => {
  for (let i = 0; i < 5_000; i++) {
    const bytes = randomBytes(i % 300);
    assert.throws(() => decodePermit(bytes, key), MalformedError);
    assert.throws(() => decodeHeartbeat(bytes, key), MalformedError);
  }
});

function encodeRaw(body: Buffer): Buffer {
  return Buffer.concat([body, createHmacOf(body)]);
}

function createHmacOf(body: Buffer): Buffer {
  return createHmac('sha256', key).update(body).digest();
}
