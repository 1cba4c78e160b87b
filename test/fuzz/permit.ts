import { type Keeper, newKeeper, nonceLimit, receipts, step } from '../../agent/roll-call/permit-keeper.ts';
import { MalformedError } from '../../protocol/bytes.ts';
import { isCustomerName } from '../../protocol/names.ts';
import { decodePermit, encodePermit, everything, type Permit } from '../../protocol/roll-call.ts';
import { permitValidityMs } from '../../protocol/timing.ts';
import { type Random, mutated } from './random.ts';
import { signedGarbage } from './signed.ts';

/**
 * Permits, mutated before or after they were signed, replayed and overtaken, to one agent's keeper that lives through
 * them all. Nobody may ever be permitted for longer than one permit, and what the keeper remembers stays bounded.
 * Returns how many permits were obeyed.
 */
export function fuzzPermit(count: number, random: Random): number {
  const key = random.bytes(32);
  const session = random.bytes(16);
  let keeper: Keeper = newKeeper(['left_over'], 0);
  let nonce = random.bytes(16);
  let sequence = 1n;
  let former: Buffer = Buffer.alloc(0);
  let nowMs = 0;
  let obeyed = 0;
  for (let round = 0; round < count; round++) {
    nowMs += random.integer(200);
    if (random.once(3)) {
      nonce = random.bytes(16);
      keeper = step(keeper, { type: 'sent', nonce, nowMs }).keeper;
    }
    const honest = encodePermit(honestPermit({ session, sequence: ++sequence, nonce }, random), key);
    const bytes = random.pick([
      () => honest,
      () => former,
      () => mutated(honest, random),
      () => signedGarbage(honest, { key, random }),
    ])();
    const intact = bytes.equals(honest);
    if (random.once(8)) former = honest;
    let permit: Permit;
    try {
      permit = decodePermit(bytes, key);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      if (intact) throw new Error(`round ${round}: an honest permit was refused`, { cause: error });
      continue;
    }
    obeyed++;
    const { keeper: next, actions } = step(keeper, { type: 'permit', permit, nowMs });
    keeper = next;
    for (const action of actions) {
      if (action.type === 'stop' && action.scope !== everything && !isCustomerName(action.scope))
        throw new Error(`round ${round}: a stop of ${JSON.stringify(action.scope)}`);
      if (action.type === 'vouch' && action.untilMs > nowMs + permitValidityMs)
        throw new Error(`round ${round}: vouched for ${action.customer} for ${action.untilMs - nowMs} ms`);
      if (action.type === 'stop' && random.once(2))
        keeper = step(keeper, { type: 'stopped', orders: action.orders, stoppedAfterMs: 1, processes: 1 }).keeper;
    }
    for (const [customer, grant] of keeper.customers)
      if (!isCustomerName(customer) || grant.untilMs > nowMs + permitValidityMs)
        throw new Error(`round ${round}: ${customer} is permitted for ${grant.untilMs - nowMs} ms`);
    if (keeper.nonces.length > nonceLimit || keeper.orders.size > 255 || receipts(keeper).length > keeper.orders.size)
      throw new Error(`round ${round}: ${keeper.nonces.length} nonces, ${keeper.orders.size} orders remembered`);
  }
  return obeyed;
}

function honestPermit(head: Pick<Permit, 'session' | 'sequence' | 'nonce'>, random: Random): Permit {
  const names = ['acme', 'bolt', 'left_over', 'twelve_chars'];
  return {
    ...head,
    generation: BigInt(random.integer(1000)),
    validityMs: random.pick([permitValidityMs, 0, 65_535]),
    customers: names.flatMap((customer) => (random.once(2) ? [{ customer, hold: random.once(4) }] : [])),
    orders: Array.from({ length: random.integer(4) }, () => ({
      order: BigInt(random.integer(20)),
      scope: random.pick([everything, 'acme', 'bolt']),
    })),
  };
}
