// The one way to a kill order and to its end, whoever asks: an operator through the API, two of them, or a drill.
import type { Mac } from '../../protocol/mac.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { OrderHooks } from '../../inventory/orders/unstored-orders.ts';
import type { Refused } from '../../inventory/refused.ts';
import type { RollCall } from './roll-call/roll-call.ts';

/** The roll call takes an order within a turn of its event loop. */
const takenMs = 3_000;

interface Rooms {
  inventory: Inventory;
  rollCall: RollCall;
}

/** Every node that was ever given a permit in its present life; those long silent count by their silence. */
export function killTargets(inventory: Inventory): Mac[] {
  return inventory.nodes.all().flatMap(({ mac }) => (inventory.nodes.sessionOf(mac) === undefined ? [] : [mac]));
}

interface OrderRequest extends Pick<OrderHooks, 'accepted'> {
  /** A customer's name or `*`. */
  scope: string;
  reason: string;
  by: string;
}

/**
 * The roll call is told when it returns; when it resolves, the order is on disk, and no permit
 * that leaves lists whom it stops.
 */
export async function giveKillOrder(
  rooms: Rooms,
  { scope, reason, by, accepted }: OrderRequest,
): Promise<OrderDocument | Refused> {
  const { inventory, rollCall } = rooms;
  const wanted = { scope, reason, by, targets: killTargets(inventory) };
  const order = await inventory.orders.kill(wanted, killHooks(rooms, accepted));
  await rollCall.taken();
  return order;
}

/** Who may run again hears of it at once when that is so. */
export function liftKillOrder(
  rooms: Rooms,
  { scope, reason, by, accepted }: OrderRequest,
): Promise<OrderDocument | Refused> {
  return rooms.inventory.orders.lift({ scope, reason, by }, liftHooks(rooms, accepted));
}

/**
 * Resolves with undefined when permits follow all orders and lifts that were given until now, and in bounded time: nobody is told
 * of an order that they do not follow yet.
 */
export async function notInForce(
  rollCall: RollCall,
  pause: (ms: number) => Promise<unknown>,
): Promise<Refused | undefined> {
  const isTaken = await Promise.race([rollCall.taken().then(() => true), pause(takenMs).then(() => false)]);
  if (isTaken) return undefined;
  return {
    refused:
      `cannot say whether the order is in force: the roll call has not taken it within ${takenMs / 1_000} s. ` +
      'Look again with muster kill list; nodes that get no permit for 3 s stop everybody by themselves',
  };
}

/** Before the disk has the order: a disk that is slow or full must not delay the stop. */
export function killHooks({ rollCall }: Rooms, accepted: OrderHooks['accepted']): OrderHooks {
  return {
    ...(accepted === undefined ? {} : { accepted }),
    inForce: (order) => {
      rollCall.orderGiven(order);
      rollCall.enforce(order.targets);
    },
  };
}

export function liftHooks({ inventory, rollCall }: Rooms, accepted: OrderHooks['accepted']): OrderHooks {
  return {
    ...(accepted === undefined ? {} : { accepted }),
    inForce: () => rollCall.enforce(inventory.nodes.all().map(({ mac }) => mac)),
  };
}
