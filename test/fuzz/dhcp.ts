import { answer } from '../../boot/dhcp/answer.ts';
import { captures, capturedRequests } from '../../boot/dhcp/capture.ts';
import { decodePacket, encodePacket } from '../../boot/dhcp/packet.ts';
import { boardPacket, testWorld } from '../../boot/dhcp/world.fixture.ts';
import { type Random, mutated } from './random.ts';

/**
 * Packets of real firmware, mutated, to one server that lives through them all. What it answers must encode, must
 * never name an address outside the pool, and two boards must never hold one address. Returns how many it answered.
 */
export function fuzzDhcp(count: number, random: Random): number {
  const world = testWorld({ range: { from: '10.77.0.50', to: '10.77.0.99' } });
  const seeds = captures.flatMap(capturedRequests);
  for (const type of ['decline', 'release', 'inform'] as const)
    seeds.push(encodePacket(boardPacket(type, { ciaddr: '10.77.0.51' })));
  let nowMs = 1_000_000;
  let answered = 0;
  for (let round = 0; round < count; round++) {
    nowMs += random.integer(2000);
    const seed = seeds[random.integer(seeds.length)] ?? Buffer.alloc(0);
    // Many boards, so that the pool runs full; half of the packets otherwise as they were.
    const bytes = Buffer.from(seed);
    bytes.writeUInt16BE(random.integer(80), 32);
    const packet = decodePacket(random.once(2) ? bytes : mutated(bytes, random));
    if ('refused' in packet) continue;
    const decided = answer(packet, { world, nowMs });
    for (const lease of decided.leases) {
      const former = world.table.at(lease.ip);
      if (
        lease.state === 'bound' &&
        former?.state === 'bound' &&
        former.expiresAtMs > nowMs &&
        former.mac !== lease.mac
      )
        throw new Error(`round ${round}: ${lease.ip} was taken from ${former.mac} for ${lease.mac}`);
      if (!/^10\.77\.0\.[5-9][0-9]$/.test(lease.ip)) throw new Error(`round ${round}: leased ${lease.ip}`);
      world.table.put(lease);
    }
    if ('silent' in decided) continue;
    answered++;
    const again = decodePacket(encodePacket(decided.reply));
    if ('refused' in again) throw new Error(`round ${round}: answered what cannot be read: ${again.refused}`);
    if (!/^(255\.255\.255\.255|10\.77\.0\.\d+)$/.test(decided.to.address))
      throw new Error(`round ${round}: answered to ${decided.to.address}`);
  }
  if ([...world.table.all()].length > 50) throw new Error('the table of leases grew beyond its pool');
  return answered;
}
