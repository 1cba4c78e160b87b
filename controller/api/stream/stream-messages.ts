// What the event stream tells of a change, in the API's own words.
import type { Event } from '../../../protocol/api/events.ts';
import type { Snapshot } from '../../../protocol/api/stream.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import type { Sliced } from '../../../inventory/slices.ts';
import type { Change } from '../../../inventory/store/changes.ts';
import type { DrillDocument } from '../../../inventory/store/documents.ts';
import { drillOrder, drillView, newest } from '../drill-views.ts';
import { customerView, instanceView, nodeView, orderView, workloadView } from '../views.ts';

const drillsInSnapshot = 20;

/** The rack as a `Snapshot`'s text. What changes while it is made is in it or not: whoever gets it is told of it afterwards. */
export function* snapshotText(
  inventory: Inventory,
  { status, events }: { status: Snapshot['status']; events: Event[] },
): Sliced<string> {
  const lists: { [Name in Exclude<keyof Snapshot, 'status'>]: Iterable<Snapshot[Name][number] | undefined> } = {
    nodes: viewed(inventory.nodes.all(), ({ mac }) => nodeView(inventory, mac)),
    customers: viewed(inventory.customers.all(), ({ name }) => customerView(inventory, name)),
    workloads: viewed(inventory.workloads.all(), (each) => workloadView(inventory, each)),
    instances: viewed(inventory.instances.all(), ({ id }) => instanceView(inventory, id)),
    approvals: inventory.approvals.all(),
    kills: viewed(inventory.orders.all(), ({ number }) => orderView(inventory, number)),
    drills: newest(inventory, drillsInSnapshot),
    events,
  };
  const fields = [`"status":${JSON.stringify(status)}`];
  for (const [name, views] of Object.entries(lists)) {
    const items: string[] = [];
    for (const view of views) {
      if (view !== undefined) items.push(JSON.stringify(view));
      yield;
    }
    fields.push(`"${name}":[${items.join(',')}]`);
  }
  return `{${fields.join(',')}}`;
}

/** Not before it is asked for. */
function* viewed<T, V>(items: readonly T[], view: (item: T) => V): Iterable<V> {
  for (const item of items) yield view(item);
}

export type Message = [name: string, data: unknown];

/** What a listener is told of one change; a thing that is gone by now is told as gone. */
export function messagesOf(inventory: Inventory, change: Change): Message[] {
  switch (change.kind) {
    case 'node': {
      const node = nodeView(inventory, change.mac);
      return node === undefined ? [['node-removed', { mac: change.mac }]] : [['node', node]];
    }
    case 'customer': {
      const customer = customerView(inventory, change.name);
      return customer === undefined ? [['customer-removed', { name: change.name }]] : [['customer', customer]];
    }
    case 'workload': {
      const { customer, name } = change;
      const workload = workloadView(inventory, { customer, name });
      return workload === undefined ? [['workload-removed', { customer, name }]] : [['workload', workload]];
    }
    case 'instance': {
      const instance = instanceView(inventory, change.id);
      return instance === undefined ? [['instance-removed', { id: change.id }]] : [['instance', instance]];
    }
    case 'order': {
      const order = orderView(inventory, change.number);
      return order === undefined ? [] : [['kill', order]];
    }
    case 'approval': {
      const approval = inventory.approvals.get(change.id);
      return approval === undefined ? [['approval-removed', { id: change.id }]] : [['approval', approval]];
    }
    case 'drill': {
      const drill = drillView(inventory, change.number);
      return drill === undefined ? [] : [['drill', drill]];
    }
    case 'image':
      return [];
    case 'event':
      return [['event', change.event]];
  }
}

/** One entry for each thing however often it changed, and one for each event. */
export function keyOf(change: Change): string {
  switch (change.kind) {
    case 'node':
      return `node ${change.mac}`;
    case 'workload':
      return `workload ${change.customer}/${change.name}`;
    case 'instance':
      return `instance ${change.id}`;
    case 'order':
      return `order ${change.number}`;
    case 'approval':
      return `approval ${change.id}`;
    case 'drill':
      return `drill ${change.number}`;
    case 'event':
      return `event ${change.event.id}`;
    default:
      return `${change.kind} ${change.name}`;
  }
}

/** Counts that another document's view shows change with the document. */
export function touchedBy(inventory: Inventory, change: Change): Change[] {
  switch (change.kind) {
    case 'instance':
      return [
        { kind: 'workload', customer: change.customer, name: change.workload },
        { kind: 'customer', name: change.customer },
        { kind: 'node', mac: change.node },
        ...drillOf(inventory, ({ customer }) => customer === change.customer),
      ];
    case 'workload':
      return [{ kind: 'customer', name: change.customer }];
    case 'order':
      return [
        ...inventory.customers.all().map(({ name }) => ({ kind: 'customer' as const, name })),
        ...drillOf(inventory, (drill) => drillOrder(inventory, drill)?.number === change.number),
      ];
    default:
      return [];
  }
}

/** The drill under way, where it is about this. */
function drillOf(inventory: Inventory, isAbout: (drill: DrillDocument) => boolean): Change[] {
  const drill = inventory.drills.current();
  return drill !== undefined && isAbout(drill) ? [{ kind: 'drill', number: drill.number }] : [];
}
