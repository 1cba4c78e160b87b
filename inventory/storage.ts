// What the books stand on: the store with all its documents in memory, the one writer, the local tables, the audit log,
// and what a start finds of them.
import { setTimeout as realPause } from 'node:timers/promises';
import type { Event } from '../protocol/api/events.ts';
import type { AuditLog, AuditOptions } from './audit/audit.ts';
import { AuditFeed } from './audit/feed.ts';
import { openDocuments } from './customers/configurations.ts';
import { SessionIndex } from './nodes/session-index.ts';
import { SentTimes } from './orders/sent-times.ts';
import { decideRecovery, isBehind, knownRevision, lossText } from './recovery.ts';
import type { LocalTables, TablesSay } from './samples/local-tables.ts';
import { type DocumentChange, Cache } from './store/cache.ts';
import { announce, type Change } from './store/changes.ts';
import type { DiskReserve } from './store/disk-reserve.ts';
import type { RevisionMark } from './store/revision-mark.ts';
import type { Store } from './store/store.ts';
import type { NewEvent } from './store/transaction.ts';
import { Writer, type Transact, type TransactOptions } from './store/writer.ts';

export interface StorageOptions {
  /** What the operator has to know of the state directory, a sentence each. */
  found?: readonly string[];
  /** Left out, a full disk stores nothing until somebody makes room. */
  reserve?: DiskReserve;
  openStore: () => Promise<Store>;
  /** Left out, the audit log is the only witness of what the store once had. */
  openMark?: () => Promise<RevisionMark>;
  /** Copies a store that lost something, before anything is written to it. Gives the words for where it is. */
  keepAside?: () => Promise<string>;
  openTables: (onEvent: (event: Event) => void, say: TablesSay) => Promise<LocalTables>;
  /** Left out, no audit log is kept. */
  openAudit?: (options: Omit<AuditOptions, 'file'>) => AuditLog;
  /** Milliseconds since 1970. */
  now: () => number;
  /** For what an operator has to read at once: that the disk takes nothing, or lost something. It is an event as well. */
  log?: ((message: string) => void) | undefined;
  /** Each event that `log` did not say, in the moment in which it is added: the disk may be long in taking it. */
  eventLog?: ((event: Omit<Event, 'id'>) => void) | undefined;
  /** Between attempts to store an order; by the real clock where left out. */
  pause?: ((ms: number) => Promise<void>) | undefined;
}

export interface Storage {
  epoch: number;
  store: Store;
  cache: Cache;
  sessions: SessionIndex;
  sent: SentTimes;
  tables: LocalTables;
  audit: AuditLog | undefined;
  feed: AuditFeed;
  transact: Transact;
  /** For what makes things safer, or is needed for it: it is stored also where the disk is full. */
  transactOnReserve: Transact;
  addEvent: (event: NewEvent) => void;
  subscribe: (listener: (change: Change) => void) => () => void;
  tell: (change: Change) => void;
  /** What an operator has to read at once, and finds among the events. */
  logAs: (subject: string) => (message: string) => void;
  /** What this start found; on the screens until the next one. */
  notes: readonly string[];
  pause: (ms: number) => Promise<void>;
}

/** A log that another process has open must not hold up a start: permits are running out. */
const auditPatienceMs = 700;

export async function openStorage(stack: AsyncDisposableStack, options: StorageOptions): Promise<Storage> {
  const { found = [], reserve, now, log, eventLog, pause = (ms) => realPause(ms, undefined, { ref: false }) } = options;
  stack.use(reserve);
  const mark = stack.use(await options.openMark?.());
  const store = stack.use(await options.openStore());
  const notes: string[] = [];
  const noted = (message: string) => {
    notes.push(message);
    log?.(message);
  };
  const subscribers = new Subscribers();
  const tell = (change: Change) => subscribers.tell(change);
  const say = { log: noted, eventLog };
  const tables = stack.use(await options.openTables((event) => tell({ kind: 'event', event }), say));
  const addEvent = (event: NewEvent) => {
    const dated = { at: now(), ...event };
    eventLog?.(dated);
    tables.addEvent(dated);
  };
  const addSaid = (subject: string, message: string) =>
    tables.addEvent({ at: now(), kind: 'controller', subject, message });
  const logAs = (subject: string) => (message: string) => {
    log?.(message);
    addSaid(subject, message);
  };

  const cache = new Cache();
  const { documents, revision, foundRevision } = await openDocuments(store);
  cache.load(documents, revision);
  const feed = new AuditFeed(cache, revision);
  const audit = stack.use(options.openAudit?.({ now, source: feed, log: logAs('audit') }));
  const told = await Promise.race([audit?.told() ?? 'none is kept', pause(auditPatienceMs).then(() => 'it is locked')]);
  const witnesses = { revision: foundRevision, mark: mark?.found, audit: told };
  if (isBehind(witnesses)) {
    noted(lossText(witnesses, (await options.keepAside?.()) ?? ''));
    // Nobody may take a new change for one that was told of before the loss.
    store.skipTo(knownRevision(witnesses));
  }
  const sessions = new SessionIndex(cache);
  const sent = new SentTimes();
  const follow = (changes: DocumentChange[]) => {
    for (const change of changes) {
      mark?.note(change.revision, change.collection === 'orders' || change.collection === 'kill');
      sessions.apply(change);
      sent.apply(change);
    }
    if (audit !== undefined) feed.tell(audit, changes);
    for (const change of changes.flatMap(announce)) tell(change);
  };
  await store.watch({ prefix: '', fromRevision: revision, onChanges: (changes) => follow(cache.apply(changes)) });

  const writer = new Writer({ store, cache, reserve, onEvents: (events) => events.forEach(addEvent) });
  stack.defer(() => writer.idle());
  const transactOnReserve = transactWith(writer, { mayUseReserve: true });
  const recovered = await transactOnReserve((transaction) => decideRecovery(transaction, { witnesses, now: now() }));
  for (const message of [...recovered, ...found]) noted(message);
  for (const message of notes) addSaid('state', message);
  reserve?.begin(logAs('disk'));
  const epoch = await transactOnReserve((transaction) => transaction.count('epoch'));
  // Writing the epoch moved the store on: whatever a node was told by an earlier process is older than this.
  cache.startGenerations(cache.revision('counters', 'epoch'));
  const kept = { store, cache, sessions, sent, tables, audit, feed };
  const ways = { transact: transactWith(writer, {}), transactOnReserve, addEvent, tell, logAs, pause };
  return { epoch, ...kept, ...ways, subscribe: (listener) => subscribers.add(listener), notes };
}

class Subscribers {
  readonly #listeners = new Set<(change: Change) => void>();

  add(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  tell(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function transactWith(writer: Writer, options: TransactOptions): Transact {
  return (decide, by) =>
    writer.transact((transaction) => {
      transaction.by = by;
      return decide(transaction);
    }, options);
}
