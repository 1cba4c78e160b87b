// Server-sent events: one snapshot for all new listeners together, then every change, rendered once for all of them. Permits
// wait while a snapshot of a rack is made, so there is one in a while, however many ask. Who was cut off for a moment goes on
// where it was (`stream-history.ts`), without a snapshot.
import type { ServerResponse } from 'node:http';
import type { DrillDocument } from '../../inventory/store/documents.ts';
import type { Event } from '../../protocol/api/events.ts';
import type { Sample } from '../../protocol/api/samples.ts';
import type { Snapshot } from '../../protocol/api/stream.ts';
import { drillOrder, drillView, newest } from './drill-views.ts';
import type { Change } from '../../inventory/store/changes.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { streamHistory, streamMessage } from './stream-history.ts';
import { customerView, instanceView, nodeView, orderView, workloadView } from './views.ts';

/** Changes are collected this long, so that 684 boards that boot at once are a few messages and not thousands. */
const flushAfterMs = 50;
/** A listener with more than this unsent is let go: it comes back for a snapshot. */
const unsentLimitBytes = 8 * 2 ** 20;
const listenerLimit = 100;
/** Between two snapshots: who comes meanwhile waits for the next. */
const snapshotGapMs = 250;
/** Listeners that one snapshot goes to: it is a megabyte for each. */
const listenersAtOnce = 16;
const eventsInSnapshot = 200;
const drillsInSnapshot = 20;
/** So long after the last listener left, what changes is recorded for its return. */
const recordingMs = 60_000;

export interface Stream {
  /** There are too many listeners already. */
  isFull(): boolean;
  /** Goes on after the message with this id where that is possible, else begins with a snapshot. */
  add(response: ServerResponse, lastEventId?: string): void;
  close(): void;
  readonly listeners: number;
}

export function startStream({ inventory, status }: { inventory: Inventory; status: () => Snapshot['status'] }): Stream {
  const listeners = new Set<ServerResponse>();
  /** Whose snapshot is not made yet, in the order in which they came. */
  const newcomers = new Set<ServerResponse>();
  const history = streamHistory(inventory.epoch);
  let lastLeftAt = -Infinity;
  let welcoming: NodeJS.Timeout | undefined;
  let lastWelcomeAt = -Infinity;
  const dirty = new Map<string, Change>();
  let flushing: NodeJS.Timeout | undefined;
  const lastSamples = new Map<string, Sample>();

  const unsubscribe = inventory.subscribe((change) => {
    if (listeners.size + newcomers.size === 0 && performance.now() - lastLeftAt > recordingMs) return history.forget();
    for (const each of [change, ...touchedBy(change)]) dirty.set(keyOf(each), each);
    flushing ??= setTimeout(flush, flushAfterMs);
  });
  /** Counts that another document's view shows change with the document. */
  function touchedBy(change: Change): Change[] {
    switch (change.kind) {
      case 'instance':
        return [
          { kind: 'workload', customer: change.customer, name: change.workload },
          { kind: 'customer', name: change.customer },
          { kind: 'node', mac: change.node },
          ...drillOf(({ customer }) => customer === change.customer),
        ];
      case 'workload':
        return [{ kind: 'customer', name: change.customer }];
      case 'order':
        return [
          ...inventory.customers.all().map(({ name }) => ({ kind: 'customer' as const, name })),
          ...drillOf((drill) => drillOrder(inventory, drill)?.number === change.number),
        ];
      default:
        return [];
    }
  }
  /** The drill under way, where it is about this. */
  function drillOf(isAbout: (drill: DrillDocument) => boolean): Change[] {
    const drill = inventory.drills.current();
    return drill !== undefined && isAbout(drill) ? [{ kind: 'drill', number: drill.number }] : [];
  }

  const samples = setInterval(() => {
    if (listeners.size === 0) return;
    const changed: Record<string, Sample> = {};
    for (const { mac } of inventory.nodes.all()) {
      const sample = inventory.samples.latest(mac);
      if (sample !== undefined && lastSamples.get(mac) !== sample) {
        lastSamples.set(mac, sample);
        changed[mac] = sample;
      }
    }
    if (Object.keys(changed).length > 0) broadcast(streamMessage('samples', changed));
  }, 1_000);
  const keepAlive = setInterval(() => broadcast(': here\n\n'), 15_000);

  function flush(): void {
    flushing = undefined;
    const changes = [...dirty.values()];
    dirty.clear();
    const messages = changes.flatMap((change) => render(inventory, change));
    broadcast(messages.map(([name, data]) => history.add(name, data)).join(''));
  }

  function broadcast(text: string): void {
    if (text === '' || listeners.size === 0) return;
    // Encoded once, for all.
    const bytes = Buffer.from(text);
    for (const response of listeners) {
      if (response.writableLength > unsentLimitBytes) response.destroy();
      else response.write(bytes);
    }
  }

  /** From the last answer of the disk on without a pause: no change falls between a snapshot and what follows it. */
  async function welcome(): Promise<void> {
    // A page without its events is worth more than none, the more so when the disk is in trouble.
    const events = await inventory.events.list({ limit: eventsInSnapshot }).catch(() => []);
    welcoming = undefined;
    if (newcomers.size === 0) return;
    const bytes = Buffer.from(streamMessage('snapshot', snapshot(events), history.lastId()));
    for (const response of [...newcomers].slice(0, listenersAtOnce)) {
      newcomers.delete(response);
      response.write(bytes);
      listeners.add(response);
    }
    lastWelcomeAt = performance.now();
    if (newcomers.size > 0) welcoming = setTimeout(() => void welcome(), snapshotGapMs);
  }

  function snapshot(events: Event[]): Snapshot {
    return {
      status: status(),
      nodes: inventory.nodes.all().flatMap(({ mac }) => nodeView(inventory, mac) ?? []),
      customers: inventory.customers.all().flatMap(({ name }) => customerView(inventory, name) ?? []),
      workloads: inventory.workloads
        .all()
        .flatMap(({ customer, name }) => workloadView(inventory, customer, name) ?? []),
      instances: inventory.instances.all().flatMap(({ id }) => instanceView(inventory, id) ?? []),
      approvals: inventory.approvals.all(),
      kills: inventory.orders.all().flatMap(({ number }) => orderView(inventory, number) ?? []),
      drills: newest(inventory, drillsInSnapshot),
      events,
    };
  }

  return {
    get listeners() {
      return listeners.size;
    },
    isFull: () => listeners.size + newcomers.size >= listenerLimit,
    add: (response, lastEventId) => {
      // Gone already: its `close` was before we listened for it.
      if (response.destroyed) return;
      response.on('error', () => response.destroy());
      response.on('close', () => {
        newcomers.delete(response);
        if (listeners.delete(response)) lastLeftAt = performance.now();
      });
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        'x-content-type-options': 'nosniff',
        'cross-origin-resource-policy': 'same-origin',
      });
      response.flushHeaders();
      const missed = lastEventId === undefined ? undefined : history.after(lastEventId);
      if (missed !== undefined && 'texts' in missed) {
        // What waits for the next flush comes after it, to this listener as well.
        response.write(streamMessage('resumed', {}) + missed.texts.join(''));
        listeners.add(response);
        return;
      }
      if (missed !== undefined) response.write(streamMessage('reset', { reason: missed.reset }));
      newcomers.add(response);
      welcoming ??= setTimeout(() => void welcome(), Math.max(0, lastWelcomeAt + snapshotGapMs - performance.now()));
    },
    close: () => {
      unsubscribe();
      clearTimeout(flushing);
      clearTimeout(welcoming);
      clearInterval(samples);
      clearInterval(keepAlive);
      for (const response of [...listeners, ...newcomers]) response.destroy();
    },
  };
}

type Message = [name: string, data: unknown];

/** What a listener is told of one change; a thing that is gone by now is told as gone. */
function render(inventory: Inventory, change: Change): Message[] {
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
      const workload = workloadView(inventory, customer, name);
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
function keyOf(change: Change): string {
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
