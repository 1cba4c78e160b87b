// Drills as the API shows them, with the figures of the one under way as they are now.
import type { Drill } from '../../protocol/api/drills.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { DrillDocument, OrderDocument, ReceiptDocument } from '../../inventory/store/documents.ts';
import { canaryName, orderedBy } from '../../inventory/drills/drills.ts';
import type { Inventory } from '../../inventory/inventory.ts';

export type DrillResult = NonNullable<DrillDocument['result']>;

export function drillView(inventory: Inventory, number: number): Drill | undefined {
  const drill = inventory.drills.get(number);
  if (drill === undefined) return undefined;
  const { customer, by, startedAt, endedAt, phase, outcome, problem, drawn, leftOut } = drill;
  return {
    number,
    customer,
    by,
    startedAt,
    endedAt,
    phase,
    outcome: phase === 'done' ? outcome : null,
    problem,
    order: drill.order ?? drillOrder(inventory, drill)?.number ?? null,
    drawn,
    leftOut,
    ...(drill.result ?? presentResult(inventory, drill)),
  };
}

/** The kill order that this drill gave, also where a crash left its number out of the record. */
export function drillOrder(inventory: Inventory, { number, order }: DrillDocument): OrderDocument | undefined {
  if (order !== null) return inventory.orders.get(order);
  return inventory.orders.all().find(({ by }) => by === orderedBy(number));
}

export function presentResult(inventory: Inventory, drill: DrillDocument): DrillResult {
  if (drill.phase === 'deploying') {
    const running = inventory.instances.of(drill.customer, canaryName).filter(({ state }) => state === 'running');
    return { nodes: running.length, stopped: 0, medianMs: null, slowestMs: null, unacknowledged: [] };
  }
  const order = drillOrder(inventory, drill);
  return measured({
    nodes: drill.nodes,
    receipts: order === undefined ? [] : inventory.orders.receipts(order.number),
    nameOf: (mac) => inventory.nodes.get(mac)?.name ?? mac,
  });
}

/** From the stored order to the evidence, over those nodes only. */
export function measured({
  nodes,
  receipts,
  nameOf,
}: {
  nodes: readonly Mac[];
  receipts: readonly ReceiptDocument[];
  nameOf: (mac: Mac) => string;
}): DrillResult {
  const byNode = new Map(receipts.map((receipt) => [receipt.mac, receipt.evidenceAfterMs]));
  const times = nodes.flatMap((mac) => byNode.get(mac) ?? []).toSorted((a, b) => a - b);
  const [low, high] = [times[(times.length - 1) >> 1], times[times.length >> 1]];
  return {
    nodes: nodes.length,
    stopped: times.length,
    medianMs: low === undefined || high === undefined ? null : Math.round(5 * (low + high)) / 10,
    slowestMs: times.at(-1) ?? null,
    unacknowledged: nodes.flatMap((mac) => (byNode.has(mac) ? [] : [nameOf(mac)])).toSorted(),
  };
}

export function newest(inventory: Inventory, limit: number): Drill[] {
  return inventory.drills
    .all()
    .slice(0, limit)
    .flatMap(({ number }) => drillView(inventory, number) ?? []);
}

/** The last one that is over. */
export function lastDrill(inventory: Inventory): Drill | null {
  const drill = inventory.drills.all().find(({ phase }) => phase === 'done');
  return (drill === undefined ? undefined : drillView(inventory, drill.number)) ?? null;
}
