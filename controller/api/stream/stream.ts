// Server-sent events: one snapshot for all new listeners together, then every change, rendered once for all of them. Both are
// made in slices: of a full rack a snapshot is 100 ms of work. There is one in a while, however many ask. Who was cut off for a
// moment goes on where it was (`stream-history.ts`), without a snapshot.
import type { ServerResponse } from 'node:http';
import type { Event } from '../../../protocol/api/events.ts';
import type { Sample } from '../../../protocol/api/samples.ts';
import type { Snapshot } from '../../../protocol/api/stream.ts';
import type { Change } from '../../../inventory/store/changes.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import { inOneGo, inSlices, type Sliced, type SliceOptions } from '../../../inventory/slices.ts';
import { type StreamHistory, streamHistory, streamMessage, streamText } from './stream-history.ts';
import { keyOf, messagesOf, snapshotText, touchedBy } from './stream-messages.ts';

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
/** So many are rendered between two looks at the clock. */
const changesAtOnce = 64;
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

export interface StreamOptions {
  inventory: Inventory;
  status: () => Snapshot['status'];
  turns?: SliceOptions | undefined;
}

export function startStream(options: StreamOptions): Stream {
  return new RackStream(options);
}

class RackStream implements Stream {
  readonly #options: StreamOptions;
  readonly #listeners = new Set<ServerResponse>();
  /** Whose snapshot is not made yet, in the order in which they came. */
  readonly #newcomers = new Set<ServerResponse>();
  readonly #history: StreamHistory;
  readonly #dirty = new Map<string, Change>();
  readonly #lastSamples = new Map<string, Sample>();
  readonly #ended = new DisposableStack();
  #lastLeftAt = -Infinity;
  #welcoming: NodeJS.Timeout | undefined;
  #lastWelcomeAt = -Infinity;
  #flushing: NodeJS.Timeout | undefined;

  constructor(options: StreamOptions) {
    this.#options = options;
    const { inventory } = options;
    this.#history = streamHistory(inventory.epoch);
    this.#ended.defer(inventory.subscribe((change) => this.#note(change)));
    const samples = setInterval(() => {
      if (this.#listeners.size > 0) broadcast(this.#listeners, samplesMessage(inventory, this.#lastSamples));
    }, 1_000);
    const keepAlive = setInterval(() => broadcast(this.#listeners, ': here\n\n'), 15_000);
    for (const timer of [samples, keepAlive]) this.#ended.adopt(timer, clearInterval);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  isFull(): boolean {
    return this.#listeners.size + this.#newcomers.size >= listenerLimit;
  }

  add(response: ServerResponse, lastEventId?: string): void {
    // Gone already: its `close` was before we listened for it.
    if (response.destroyed) return;
    begin(response);
    response.on('close', () => {
      this.#newcomers.delete(response);
      if (this.#listeners.delete(response)) this.#lastLeftAt = performance.now();
    });
    const missed = lastEventId === undefined ? undefined : this.#history.after(lastEventId);
    if (missed !== undefined && 'texts' in missed) {
      // What waits for the next flush comes after it, to this listener as well.
      response.write(streamMessage('resumed', { data: {} }) + missed.texts.join(''));
      this.#listeners.add(response);
      return;
    }
    if (missed !== undefined) response.write(streamMessage('reset', { data: { reason: missed.reset } }));
    this.#newcomers.add(response);
    this.#welcoming ??= setTimeout(
      () => void this.#welcome(),
      Math.max(0, this.#lastWelcomeAt + snapshotGapMs - performance.now()),
    );
  }

  close(): void {
    this.#ended.dispose();
    this.#dirty.clear();
    clearTimeout(this.#flushing);
    clearTimeout(this.#welcoming);
    for (const response of [...this.#listeners, ...this.#newcomers]) response.destroy();
  }

  #note(change: Change): void {
    const isAlone = this.#listeners.size + this.#newcomers.size === 0;
    if (isAlone && performance.now() - this.#lastLeftAt > recordingMs) return this.#history.forget();
    for (const each of [change, ...touchedBy(this.#options.inventory, change)]) this.#dirty.set(keyOf(each), each);
    this.#flushing ??= setTimeout(() => void this.#flush(), flushAfterMs);
  }

  async #flush(): Promise<void> {
    const changes = [...this.#dirty.values()];
    this.#dirty.clear();
    await inSlices(this.#told(changes), this.#options.turns);
    this.#flushing = this.#dirty.size === 0 ? undefined : setTimeout(() => void this.#flush(), flushAfterMs);
  }

  /** What is in the history is with the listeners as well, whenever others have their turn: one may join them then. */
  *#told(changes: readonly Change[]): Sliced<void> {
    const { inventory } = this.#options;
    for (let from = 0; from < changes.length; from += changesAtOnce) {
      const messages = changes.slice(from, from + changesAtOnce).flatMap((change) => messagesOf(inventory, change));
      broadcast(this.#listeners, messages.map(([name, data]) => this.#history.add(name, data)).join(''));
      yield;
    }
  }

  async #welcome(): Promise<void> {
    // A page without its events is worth more than none, the more so when the disk is in trouble.
    const events = await this.#options.inventory.events.list({ limit: eventsInSnapshot }).catch(() => []);
    const bytes = this.#newcomers.size === 0 ? undefined : await this.#snapshot(events);
    this.#welcoming = undefined;
    if (bytes === undefined) return;
    for (const response of [...this.#newcomers].slice(0, listenersAtOnce)) {
      this.#newcomers.delete(response);
      response.write(bytes);
      this.#listeners.add(response);
    }
    this.#lastWelcomeAt = performance.now();
    if (this.#newcomers.size > 0) this.#welcoming = setTimeout(() => void this.#welcome(), snapshotGapMs);
  }

  /** With what was told while it was made: no change falls between a snapshot and what follows it. */
  async #snapshot(events: Event[]): Promise<Buffer> {
    const { inventory, status, turns } = this.#options;
    const id = this.#history.lastId();
    const text = await inSlices(snapshotText(inventory, { status: status(), events }), turns);
    const missed = this.#history.after(id);
    if ('texts' in missed) return Buffer.from(streamText('snapshot', { text, id }) + missed.texts.join(''));
    // More than is remembered, as when a whole rack starts: then at once.
    const now = inOneGo(snapshotText(inventory, { status: status(), events }));
    return Buffer.from(streamText('snapshot', { text: now, id: this.#history.lastId() }));
  }
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
