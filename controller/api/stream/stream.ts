// Server-sent events: one snapshot for all new listeners together, then every change, rendered once for all of them. Permits
// wait while a snapshot of a rack is made, so there is one in a while, however many ask. Who was cut off for a moment goes on
// where it was (`stream-history.ts`), without a snapshot.
import type { ServerResponse } from 'node:http';
import type { Sample } from '../../../protocol/api/samples.ts';
import type { Snapshot } from '../../../protocol/api/stream.ts';
import type { Change } from '../../../inventory/store/changes.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import { streamHistory, streamMessage } from './stream-history.ts';
import { keyOf, messagesOf, snapshotOf, touchedBy } from './stream-messages.ts';

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
    for (const each of [change, ...touchedBy(inventory, change)]) dirty.set(keyOf(each), each);
    flushing ??= setTimeout(flush, flushAfterMs);
  });
  const samples = setInterval(() => {
    if (listeners.size > 0) broadcast(listeners, samplesMessage(inventory, lastSamples));
  }, 1_000);
  const keepAlive = setInterval(() => broadcast(listeners, ': here\n\n'), 15_000);

  function flush(): void {
    flushing = undefined;
    const messages = [...dirty.values()].flatMap((change) => messagesOf(inventory, change));
    dirty.clear();
    broadcast(listeners, messages.map(([name, data]) => history.add(name, data)).join(''));
  }

  /** From the last answer of the disk on without a pause: no change falls between a snapshot and what follows it. */
  async function welcome(): Promise<void> {
    // A page without its events is worth more than none, the more so when the disk is in trouble.
    const events = await inventory.events.list({ limit: eventsInSnapshot }).catch(() => []);
    welcoming = undefined;
    if (newcomers.size === 0) return;
    const snapshot = snapshotOf(inventory, { status: status(), events });
    const bytes = Buffer.from(streamMessage('snapshot', { data: snapshot, id: history.lastId() }));
    for (const response of [...newcomers].slice(0, listenersAtOnce)) {
      newcomers.delete(response);
      response.write(bytes);
      listeners.add(response);
    }
    lastWelcomeAt = performance.now();
    if (newcomers.size > 0) welcoming = setTimeout(() => void welcome(), snapshotGapMs);
  }

  return {
    get listeners() {
      return listeners.size;
    },
    isFull: () => listeners.size + newcomers.size >= listenerLimit,
    add: (response, lastEventId) => {
      // Gone already: its `close` was before we listened for it.
      if (response.destroyed) return;
      begin(response);
      response.on('close', () => {
        newcomers.delete(response);
        if (listeners.delete(response)) lastLeftAt = performance.now();
      });
      const missed = lastEventId === undefined ? undefined : history.after(lastEventId);
      if (missed !== undefined && 'texts' in missed) {
        // What waits for the next flush comes after it, to this listener as well.
        response.write(streamMessage('resumed', { data: {} }) + missed.texts.join(''));
        listeners.add(response);
        return;
      }
      if (missed !== undefined) response.write(streamMessage('reset', { data: { reason: missed.reset } }));
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

function begin(response: ServerResponse): void {
  response.on('error', () => response.destroy());
  response.writeHead(200, streamHeaders);
  response.flushHeaders();
}

const streamHeaders = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
};

function broadcast(listeners: ReadonlySet<ServerResponse>, text: string): void {
  if (text === '' || listeners.size === 0) return;
  // Encoded once, for all.
  const bytes = Buffer.from(text);
  for (const response of listeners) {
    if (response.writableLength > unsentLimitBytes) response.destroy();
    else response.write(bytes);
  }
}

/** Of each node the newest, where it is another than was told last; empty where none is. */
function samplesMessage(inventory: Inventory, told: Map<string, Sample>): string {
  const changed: Record<string, Sample> = {};
  for (const { mac } of inventory.nodes.all()) {
    const sample = inventory.samples.latest(mac);
    if (sample === undefined || told.get(mac) === sample) continue;
    told.set(mac, sample);
    changed[mac] = sample;
  }
  return Object.keys(changed).length === 0 ? '' : streamMessage('samples', { data: changed });
}
