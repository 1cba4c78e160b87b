// Heartbeat and permit: the two signed datagrams between an agent and a controller, on UDP 5670.
//
//   0  4  magic "MUST"            (a ZRE beacon begins "ZRE": the magic tells them apart)
//   4  1  version 1
//   5  1  type: 1 heartbeat, 2 permit
//   6  2  flags, zero
//   8 16  session id, given at join
//  24  8  sequence, only grows within a session
//  32 16  nonce: drawn by the node for each heartbeat, echoed by the permit that answers it
//
//  heartbeat                                permit
//  48  8  desired generation applied        48  8  desired generation of the node
//  56  8  sequence of the last permit       56  2  validity, ms, from the moment the nonce was sent
//  64  4  uptime, s                         58  1  n customers: text name, 1 flags (1 = hold on silence)
//  68  2  load average × 100                 …  1  m orders to acknowledge: 8 number, text scope
//  70  1  n customers: text name,
//         2 instances, 2 processes
//   …  1  m receipts: 8 order, 4 ms, 2 processes
//
//   …  32 HMAC-SHA256 over everything before it, with the session key
//
// A permit lists who may run; a customer that it does not list must stop at once. Text is one length byte and ASCII.
// Bytes between the last field and the HMAC are ignored, so that a later version can append.
import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';
import { ByteReader, ByteWriter, MalformedError } from './bytes.ts';
import { isCustomerName } from './names.ts';

const magic = Buffer.from('MUST');
const version = 1;
const types = { heartbeat: 1, permit: 2 } as const;
const macBytes = 32;
/** Where datagrams are written, one at a time: a fresh 4 KB for each of 912 permits a second is work for the collector. */
const scratch = Buffer.alloc(4_096);

/** Keeps a datagram under one Ethernet frame. */
export const datagramLimitBytes = 1_400;
/** As many customers as one node may run: both lists are cut off here by their writers, never silently by a reader. */
export const customersPerNodeLimit = 48;
export const ordersPerPermitLimit = 16;
/** Generations travel as JSON numbers too; one beyond this is a lie. */
export const generationLimit = 2n ** 52n;

export interface CustomerLoad {
  customer: string;
  instances: number;
  processes: number;
}

/** A node's statement that the scope of a kill order has no process left on it. */
export interface Receipt {
  /** The kill order's number. */
  order: bigint;
  /** From the arrival of the permit that did not list the customer until its control group was empty, ms. */
  stoppedAfterMs: number;
  /** Processes that were running when the permit arrived. */
  processes: number;
}

export interface Heartbeat {
  session: Buffer;
  sequence: bigint;
  nonce: Buffer;
  generation: bigint;
  permitSequence: bigint;
  uptimeSeconds: number;
  load: number;
  customers: CustomerLoad[];
  receipts: Receipt[];
}

export interface PermittedCustomer {
  customer: string;
  /** On silence the customer keeps running (`onSilence: hold`). */
  hold: boolean;
}

export interface OrderToAcknowledge {
  order: bigint;
  /** A customer's name, or `*` for everything. */
  scope: string;
}

export interface Permit {
  session: Buffer;
  sequence: bigint;
  nonce: Buffer;
  generation: bigint;
  validityMs: number;
  customers: PermittedCustomer[];
  orders: OrderToAcknowledge[];
}

export const everything = '*';

/** Of 32 bytes. A KeyObject costs a quarter of the time: who signs for hundreds of sessions keeps one for each. */
export type SessionKey = KeyObject | Uint8Array;

export function encodeHeartbeat(heartbeat: Heartbeat, key: SessionKey): Buffer {
  const writer = head(types.heartbeat, heartbeat)
    .u64(heartbeat.generation)
    .u64(heartbeat.permitSequence)
    .u32(clamp(heartbeat.uptimeSeconds, 0xffffffff))
    .u16(clamp(heartbeat.load * 100, 0xffff));
  writer.u8(heartbeat.customers.length);
  for (const { customer, instances, processes } of heartbeat.customers)
    writer.text(customer).u16(clamp(instances, 0xffff)).u16(clamp(processes, 0xffff));
  writer.u8(heartbeat.receipts.length);
  for (const { order, stoppedAfterMs, processes } of heartbeat.receipts)
    writer.u64(order).u32(clamp(stoppedAfterMs, 0xffffffff)).u16(clamp(processes, 0xffff));
  return seal(writer, key);
}

export function encodePermit(permit: Permit, key: SessionKey): Buffer {
  const writer = head(types.permit, permit).u64(permit.generation).u16(permit.validityMs);
  writer.u8(permit.customers.length);
  for (const { customer, hold } of permit.customers) writer.text(customer).u8(hold ? 1 : 0);
  writer.u8(permit.orders.length);
  for (const { order, scope } of permit.orders) writer.u64(order).text(scope);
  return seal(writer, key);
}

/** The session that a datagram claims, to look its key up; `undefined` where it is no datagram of ours. */
export function claimedSession(bytes: Uint8Array): Buffer | undefined {
  if (bytes.length < 48 + macBytes || bytes.length > datagramLimitBytes) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.subarray(0, 4).equals(magic) ? view.subarray(8, 24) : undefined;
}

/** The sequence that a datagram claims in which `claimedSession` found a session. */
export function claimedSequence(bytes: Uint8Array): bigint {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readBigUInt64BE(24);
}

/** Throws MalformedError on a wrong signature, type, version or length. */
export function decodeHeartbeat(bytes: Uint8Array, key: SessionKey): Heartbeat {
  const reader = open(bytes, { what: 'heartbeat', key });
  const { session, sequence, nonce } = readHead(reader);
  const generation = reader.u64();
  const permitSequence = reader.u64();
  const uptimeSeconds = reader.u32();
  const load = reader.u16() / 100;
  const customers = times(reader.u8(), () => ({
    customer: customerName(reader.text()),
    instances: reader.u16(),
    processes: reader.u16(),
  }));
  const receipts = times(reader.u8(), () => ({
    order: reader.u64(),
    stoppedAfterMs: reader.u32(),
    processes: reader.u16(),
  }));
  return { session, sequence, nonce, generation, permitSequence, uptimeSeconds, load, customers, receipts };
}

/** Throws MalformedError on a wrong signature, type, version or length. */
export function decodePermit(bytes: Uint8Array, key: SessionKey): Permit {
  const reader = open(bytes, { what: 'permit', key });
  const { session, sequence, nonce } = readHead(reader);
  const generation = reader.u64();
  const validityMs = reader.u16();
  const customers = times(reader.u8(), () => ({
    customer: customerName(reader.text()),
    hold: (reader.u8() & 1) === 1,
  }));
  const orders = times(reader.u8(), () => {
    const order = reader.u64();
    const scope = reader.text();
    return { order, scope: scope === everything ? scope : customerName(scope) };
  });
  return { session, sequence, nonce, generation, validityMs, customers, orders };
}

function head(
  type: number,
  { session, sequence, nonce }: { session: Buffer; sequence: bigint; nonce: Buffer },
): ByteWriter {
  if (session.length !== 16 || nonce.length !== 16)
    throw new Error(`cannot encode datagram: session ${session.length}, nonce ${nonce.length} bytes, want 16 each`);
  return new ByteWriter(scratch).bytes(magic).u8(version).u8(type).u16(0).bytes(session).u64(sequence).bytes(nonce);
}

function readHead(reader: ByteReader): { session: Buffer; sequence: bigint; nonce: Buffer } {
  reader.u16();
  return { session: reader.bytes(16), sequence: reader.u64(), nonce: reader.bytes(16) };
}

function seal(writer: ByteWriter, key: SessionKey): Buffer {
  const bytes = writer.bytes(createHmac('sha256', key).update(writer.finish()).digest()).finish();
  if (bytes.length > datagramLimitBytes)
    throw new Error(`cannot encode datagram: ${bytes.length} bytes, want at most ${datagramLimitBytes}`);
  return Buffer.from(bytes);
}

function open(bytes: Uint8Array, { what, key }: { what: keyof typeof types; key: SessionKey }): ByteReader {
  if (bytes.length < 48 + macBytes || bytes.length > datagramLimitBytes)
    throw new MalformedError(
      `cannot parse ${what}: ${bytes.length} bytes, want ${48 + macBytes} to ${datagramLimitBytes}`,
    );
  const body = bytes.subarray(0, bytes.length - macBytes);
  const reader = new ByteReader(what, body);
  if (!reader.bytes(4).equals(magic)) throw new MalformedError(`cannot parse ${what}: no magic "MUST"`);
  const mac = createHmac('sha256', key).update(body).digest();
  if (!timingSafeEqual(mac, bytes.subarray(bytes.length - macBytes)))
    throw new MalformedError(`cannot accept ${what}: wrong signature`);
  const gotVersion = reader.u8();
  if (gotVersion !== version) throw new MalformedError(`cannot parse ${what}: version ${gotVersion}, want ${version}`);
  const gotType = reader.u8();
  if (gotType !== types[what]) throw new MalformedError(`cannot parse ${what}: type ${gotType}, want ${types[what]}`);
  return reader;
}

function customerName(text: string): string {
  if (!isCustomerName(text))
    throw new MalformedError(`cannot parse customer: ${JSON.stringify(text)} is no customer's name`);
  return text;
}

function times<T>(count: number, read: () => T): T[] {
  return Array.from({ length: count }, read);
}

function clamp(value: number, most: number): number {
  return Math.min(most, Math.max(0, Math.round(Number.isFinite(value) ? value : 0)));
}
