import { decodeBeacon, encodeBeacon } from '../../protocol/beacon.ts';
import { MalformedError } from '../../protocol/bytes.ts';
import { type Random, mutated } from './random.ts';

/** ZRE beacons, mutated, to the parser: refused as malformed, or read as what they say. Returns how many were read. */
export function fuzzBeacon(count: number, random: Random): number {
  const seed = encodeBeacon({ uuid: random.bytes(16), port: 5670 });
  let read = 0;
  for (let round = 0; round < count; round++) {
    const bytes = random.once(20) ? random.bytes(random.integer(1500)) : mutated(seed, random);
    try {
      const { uuid, port } = decodeBeacon(bytes);
      if (!uuid.equals(bytes.subarray(4, 20)) || port !== bytes.readUInt16BE(20))
        throw new Error(`round ${round}: ${bytes.toString('hex')} was read as ${uuid.toString('hex')}, port ${port}`);
      read++;
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
    }
  }
  return read;
}
