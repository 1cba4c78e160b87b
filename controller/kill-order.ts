// The one way to a kill order and to its end, whoever asks: an operator through the API, two of them, or a drill.
import type { Mac } from '../protocol/mac.ts';
import type { OrderDocument } from '../inventory/documents.ts';
import type { Inventory, Refused } from '../inventory/inventory.ts';
import type { RollCall } from './roll-call.ts';

interface Rooms {
  inventory: Inventory;
  rollCall: RollCall;
}

/** Every node that was ever given a permit in its present life; those long silent confirm by their silence. */
export function killTargets(inventory: Inventory): Mac[] {
  return inventory.nodes().flatMap(({ mac }) => (inventory.sessionOf(mac) === undefined ? [] : [mac]));
}

/** `scope`: a customer's name or `*`. Resolves when the order is on disk and the first permits are out. */
export async function giveKillOrder(
  rooms: Rooms,
  { scope, reason, by }: { scope: string; reason: string; by: string },
): Promise<OrderDocument | Refused> {
  const order = await rooms.inventory.kill(scope, reason, by, killTargets(rooms.inventory));
  if (!('refused' in order)) enforceKill(rooms, order);
  return order;
}

/** Of an order that is on disk. */
export function enforceKill({ rollCall }: Rooms, order: OrderDocument): void {
  rollCall.orderStored(order);
  rollCall.enforce(order.targets);
}

/** Who may run again hears of it at once. */
export async function liftKillOrder(
  rooms: Rooms,
  { scope, reason, by }: { scope: string; reason: string; by: string },
): Promise<OrderDocument | Refused> {
  const order = await rooms.inventory.lift(scope, reason, by);
  if (!('refused' in order)) enforceLift(rooms);
  return order;
}

/** Of a lift that is on disk. */
export function enforceLift({ inventory, rollCall }: Rooms): void {
  rollCall.enforce(inventory.nodes().map(({ mac }) => mac));
}
