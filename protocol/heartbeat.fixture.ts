import type { Heartbeat } from './roll-call.ts';

/** A node's heartbeat with nothing in it but what a test is about. */
export function testHeartbeat(wanted: Pick<Heartbeat, 'session'> & Partial<Heartbeat>): Heartbeat {
  return {
    sequence: 1n,
    nonce: Buffer.alloc(16),
    generation: 0n,
    permitSequence: 0n,
    uptimeSeconds: 1,
    load: 0,
    customers: [],
    receipts: [],
    ...wanted,
  };
}
