import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { encodeBeacon } from '../../protocol/beacon.ts';
import { claimedSession, encodeHeartbeat } from '../../protocol/roll-call.ts';
import { startRack } from './rack.ts';
import { type Random, mutated } from './random.ts';
import { signedGarbage } from './signed.ts';

/** Datagrams between two turns of the event loop, in which permits leave and writes end. */
const burst = 64;

/**
 * Heartbeats, mutated before or after they were signed, replayed, from strange ports, and beacons between them, to a
 * controller's roll call over a real store. None that its board did not sign may be answered. Returns how many permits
 * were sent.
 */
export async function fuzzHeartbeat(count: number, random: Random): Promise<number> {
  await using rack = await startRack();
  const { rollCall, rollCallSocket, inventory } = rack;
  const { key } = rack.session;
  const session = Buffer.from(rack.session.id, 'hex');
  const order = await inventory.orders.kill({
    scope: 'acme',
    reason: 'fuzz',
    by: 'operator',
    targets: inventory.nodes.all().map(({ mac }) => mac),
  });
  if ('refused' in order) throw new Error(order.refused);
  const sink = createSocket('udp4');
  sink.bind(0, '127.0.0.1');
  await once(sink, 'listening');
  const sinkPort = sink.address().port;
  const beacon = encodeBeacon({ uuid: random.bytes(16), port: 5670 });
  let sequence = 0n;
  let former: Buffer = Buffer.alloc(0);
  let mayBeHeard = 0;
  let sent = 0;
  for (let round = 0; round < count; round++) {
    sequence++;
    const honest = encodeHeartbeat(
      {
        session,
        sequence,
        nonce: random.bytes(16),
        generation: 0n,
        permitSequence: 0n,
        uptimeSeconds: round,
        load: 1,
        customers: [{ customer: 'acme', instances: 1, processes: random.integer(70_000) }],
        receipts: random.once(4) ? [{ order: BigInt(random.integer(3)), stoppedAfterMs: 5, processes: 1 }] : [],
      },
      key,
    );
    const bytes = random.pick([
      () => honest,
      () => former,
      () => mutated(honest, random),
      () => signedGarbage(honest, { key, random }),
      () => mutated(random.once(2) ? beacon : Buffer.alloc(0), random),
      () => beacon,
    ])();
    if (random.once(8)) former = honest;
    // What the board's key has signed may be heard; nothing else.
    const signed = bytes.equals(honest) || (bytes.length >= 80 && claimedSession(bytes)?.equals(session) === true);
    if (signed) mayBeHeard++;
    const before = rollCall.counters.heartbeats;
    sent++;
    rollCallSocket.emit('message', bytes, { address: '127.0.0.1', family: 'IPv4', port: sinkPort, size: bytes.length });
    if (rollCall.counters.heartbeats > before && !signed)
      throw new Error(`round ${round}: ${bytes.toString('hex')} was heard as a heartbeat`);
    if (rollCall.counters.heartbeats === before && bytes.equals(honest))
      throw new Error(`round ${round}: an honest heartbeat was not heard`);
    if (round % burst === 0) await turn();
  }
  const { heartbeats, permits, refused, beacons, sendErrors } = rollCall.counters;
  if (heartbeats > mayBeHeard || permits < heartbeats || heartbeats + refused < 1 || beacons > sent || sendErrors > 0)
    throw new Error(`counters do not add up: ${JSON.stringify(rollCall.counters)} of ${mayBeHeard} signed`);
  if (inventory.nodes.all().length !== 1) throw new Error('a datagram made a node');
  await new Promise<void>((resolve) => sink.close(() => resolve()));
  return permits;
}
