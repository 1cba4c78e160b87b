// The one way to a kill order and to its end, whoever asks: an operator through the API, two of them, or a drill.
import type { Mac } from '../../protocol/mac.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { OrderHooks } from '../../inventory/orders/unstored-orders.ts';
import type { Refused } from '../../inventory/refused.ts';
import type { RollCall } from './roll-call.ts';

interface Rooms {
  inventory: Inventory;
  rollCall: RollCall;
}

/** Every node that was ever given a permit in its present life; those long silent confirm by their silence. */
export function killTargets(inventory: Inventory): Mac[] {
  return inventory.nodes.all().flatMap(({ mac }) => (inventory.nodes.sessionOf(mac) === undefined ? [] : [mac]));
}

/** `scope`: a customer's name or `*`. The first permits are out when it returns, the order is on disk when it resolves. */
export function giveKillOrder(
  rooms: Rooms,
  { scope, reason, by }: { scope: string; reason: string; by: string },
  accepted?: OrderHooks['accepted'],
): Promise<OrderDocument | Refused> {
  return rooms.inventory.orders.kill(
    { scope, reason, by, targets: killTargets(rooms.inventory) },
    killHooks(rooms, accepted),
  );
}

/** Who may run again hears of it at once when that is so. */
export function liftKillOrder(
  rooms: Rooms,
  { scope, reason, by }: { scope: string; reason: string; by: string },
  accepted?: OrderHooks['accepted'],
): Promise<OrderDocument | Refused> {
  return rooms.inventory.orders.lift({ scope, reason, by }, liftHooks(rooms, accepted));
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
