// The ZRE beacon (RFC 36): "I am here", once a second, to UDP 5670 of the segment. It is a claim, proven by nothing.
//
//   0  3  "ZRE"
//   3  1  version 1   (3 = Zyre with CURVE: 32 more bytes of public key, read and ignored)
//   4 16  UUID
//  20  2  TCP mailbox port, 0 = leaving
import { MalformedError } from './bytes.ts';

export interface Beacon {
  uuid: Buffer;
  port: number;
}

const lengthOf: Record<number, number> = { 1: 22, 3: 54 };

export function encodeBeacon({ uuid, port }: Beacon): Buffer {
  if (uuid.length !== 16) throw new Error(`cannot encode beacon: UUID of ${uuid.length} bytes, want 16`);
  const bytes = Buffer.alloc(22);
  bytes.write('ZRE\x01', 'latin1');
  uuid.copy(bytes, 4);
  bytes.writeUInt16BE(port, 20);
  return bytes;
}

/** Whether a datagram may be a beacon at all. */
export function isBeaconLength(bytes: number): boolean {
  return bytes === 22 || bytes === 54;
}

/** Throws MalformedError. Peers discard beacons of a wrong size, so a length that is not exact is refused. */
export function decodeBeacon(bytes: Uint8Array): Beacon {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < 22) throw new MalformedError(`cannot parse beacon: ${view.length} bytes, want at least 22`);
  if (view.toString('latin1', 0, 3) !== 'ZRE') throw new MalformedError('cannot parse beacon: no prefix "ZRE"');
  const version = view.readUInt8(3);
  if (lengthOf[version] !== view.length)
    throw new MalformedError(
      `cannot parse beacon: version ${version} of ${view.length} bytes, want 1 of 22 or 3 of 54`,
    );
  return { uuid: Buffer.from(view.subarray(4, 20)), port: view.readUInt16BE(20) };
}
