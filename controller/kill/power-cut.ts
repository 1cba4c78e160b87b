// Cuts the power of a board that does not acknowledge.
//
//   the PDU takes the command ─► fenced ─► the PDU says off ─► nothing more is heard of it ─► evidence `power`
//
// A PDU that says "off" of a board that goes on talking was told the wrong outlet: that is no evidence, and an event.
import { errorChain } from '../../protocol/error-chain.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { Board } from '../power/driver.ts';
import type { Power } from '../power/power.ts';
import { isHeardSince, settledMs } from './escalation-decision.ts';
import type { EscalationRecord } from './escalation-record.ts';
import type { RollCall } from './roll-call/roll-call.ts';

/** How long a PDU may take from the command until it says that it is done: some wait before they switch. */
const switchingMs = 5_000;
const readBackEveryMs = 200;
const namesShown = 8;

export interface PowerCutParts {
  inventory: Inventory;
  rollCall: Pick<RollCall, 'heardUpTo' | 'listeningForMs'>;
  power: Power;
  record: EscalationRecord;
  /** Monotonic ms, the clock of heartbeats. */
  now: () => number;
  pause: (ms: number) => Promise<unknown>;
}

export async function cutPower(
  parts: PowerCutParts,
  { mac, orders }: { mac: Mac; orders: readonly OrderDocument[] },
): Promise<void> {
  const { inventory, power, record } = parts;
  const board = inventory.nodes.get(mac);
  const [order] = orders;
  if (board === undefined || order === undefined) return;
  const outlets = power.outletsOf(board).join(' and ');
  const neighbours = power.neighboursOf(board);
  const loss =
    neighbours.length === 0 ? '' : `; ${listed(neighbours.map(({ name }) => name))} lose power with it, by design`;
  const numbers = orders.map(({ number }) => number).join(', ');
  const isOn = (each: Board, offAt: number) => isHeardSince(inventory.nodes.lastHeartbeatAt(each.mac), offAt);
  try {
    for (const each of orders)
      await record.note(
        { order: each, mac },
        { by: 'power', outcome: 'tried', detail: `switches off ${outlets}${loss}` },
      );
    for (const neighbour of neighbours)
      record.announce(
        { order, mac: neighbour.mac },
        `loses its power: ${board.name} on ${outlets} does not acknowledge order ${numbers}`,
      );
    await power.turn('off', { board, order: order.number });
    // Before it is known to be off: a PDU may take longer than we wait, and whoever reads that it is off may switch it
    // on again.
    await record.fence(mac, `order ${numbers}`);
    record.announce({ order, mac }, `fenced: its power was cut by order ${numbers}`);
    const offAt = await untilOff(parts, { board, order });
    await untilSettled(parts, offAt);
    if (isOn(board, offAt)) {
      const wrong = `${outlets} is off, and ${board.name} goes on talking: the configuration names a wrong outlet`;
      record.announce({ order, mac }, wrong);
      throw new Error(wrong);
    }
    for (const each of [board, ...neighbours.filter((neighbour) => !isOn(neighbour, offAt))])
      for (const pending of inventory.orders.unacknowledged(each.mac)) {
        const detail = each === board ? `${outlets} is off${loss}` : `lost its power with ${board.name}`;
        await record.stopped({ order: pending, mac: each.mac }, { by: 'power', detail, processes: 0 });
      }
  } catch (error) {
    // The attempt stays open, for the next start to take up.
    if (record.hasEnded) return;
    for (const each of orders)
      await record.note({ order: each, mac }, { by: 'power', outcome: 'failed', detail: errorChain(error) });
  }
}

/** When the PDU said that the board is off. Throws the last thing that it said instead. */
async function untilOff(
  parts: PowerCutParts,
  { board, order }: { board: Board; order: OrderDocument },
): Promise<number> {
  const { power, now } = parts;
  let trouble: unknown;
  for (const deadline = now() + switchingMs; now() < deadline; await rest(parts)) {
    try {
      if (await power.isOff(board, order.number)) return now();
      trouble = new Error('it does not say that the outlet is off');
    } catch (error) {
      trouble = error;
    }
  }
  throw trouble;
}

/** Until we know of all that a board that still had power must have said. A pause of ours makes it longer. */
async function untilSettled(parts: PowerCutParts, offAt: number): Promise<void> {
  const { rollCall } = parts;
  while (Math.min(rollCall.heardUpTo() - offAt, rollCall.listeningForMs()) < settledMs) await rest(parts);
}

async function rest({ record, pause }: PowerCutParts): Promise<void> {
  await pause(readBackEveryMs);
  if (record.hasEnded) throw new Error('the controller was stopped meanwhile');
}

function listed(names: string[]): string {
  const more = names.length - namesShown;
  return more <= 0 ? names.join(', ') : `${names.slice(0, namesShown).join(', ')} and ${more} more`;
}
