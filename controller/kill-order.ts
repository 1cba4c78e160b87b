// The one way to a kill order and to its end, whoever asks: an operator through the API, or a drill.
import type { Mac } from '../protocol/mac.ts';
import type { OrderDocument } from '../inventory/documents.ts';
import type { Inventory, Refused } from '../inventory/inventory.ts';
import type { RollCall } from './roll-call.ts';

interface Rooms {
  inventory: Inventory;
  rollCall: RollCall;
}

/** `scope`: a customer's name or `*`. Resolves when the order is on disk and the first permits are out. */
export async function giveKillOrder(
  { inventory, rollCall }: Rooms,
  { scope, reason, by }: { scope: string; reason: string; by: string },
): Promise<OrderDocument | Refused> {
  // Every node that was ever given a permit in its present life; those long silent confirm by their silence.
  const targets: Mac[] = inventory.nodes().flatMap(({ mac }) => (inventory.sessionOf(mac) === undefined ? [] : [mac]));
  const order = await inventory.kill(scope, reason, by, targets);
  if ('refused' in order) return order;
  rollCall.orderStored(order);
  rollCall.enforce(targets);
  return order;
}

/** Who may run again hears of it at once. */
export async function liftKillOrder(
  { inventory, rollCall }: Rooms,
  { scope, reason }: { scope: string; reason: string },
): Promise<OrderDocument | Refused> {
  const order = await inventory.lift(scope, reason);
  if (!('refused' in order)) rollCall.enforce(inventory.nodes().map(({ mac }) => mac));
  return order;
}
