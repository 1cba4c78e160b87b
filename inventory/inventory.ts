// The inventory: what the rack is and what it should be. It owns the store (documents that must survive) and the local
// tables (events, samples, log lines), keeps all documents in memory for the readers, and decides every change in one
// place, one after another, so that names, slots, ports and numbers are never given twice.
//
//   caller → decide (sees memory and everything decided before it) → one transaction for all who wait → memory → caller
//
// Save first, answer after: a method that changes something resolves when the change is on disk. When it cannot be
// stored the promise rejects with one sentence and memory is as before. It may import protocol/ only.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as realPause } from 'node:timers/promises';
import type { AuditVerdict, Event } from '../protocol/api.ts';
import type { Mac } from '../protocol/mac.ts';
import { AuditFeed } from './audit/feed.ts';
import { verifyAudit } from './audit/verification.ts';
import { AuditLog, type AuditOptions } from './audit/audit.ts';
import { announce, type Change } from './store/changes.ts';
import { openDocuments } from './customers/configurations.ts';
import type { Inventory, InventoryOptions, Refused } from './contract.ts';
import {
  decideAddCustomer,
  decidePutWorkload,
  decideRemoveCustomer,
  decideRemoveImage,
  decideRemoveWorkload,
} from './customers/customers.ts';
import { type Decide, Decisions, type TakeOptions } from './store/writer.ts';
import { DiskReserve } from './store/disk-reserve.ts';
import { drillBook } from './drills/drills.ts';
import { EscalationSteps } from './orders/escalation-steps.ts';
import { HeartbeatRecord } from './nodes/heartbeat-record.ts';
import { decideRecovery, isBehind, knownRevision, lossText } from './recovery.ts';
import { openRevisionMark, type RevisionMark } from './store/revision-mark.ts';
import { keepAside, keepPrivate } from './store/state-files.ts';
import { leaseStore } from './nodes/leases.ts';
import { type LocalTables, openLocalTables } from './samples/local-tables.ts';
import { Memory } from './store/cache.ts';
import {
  beginsBoot,
  decideBootStage,
  decideJoin,
  decidePatch,
  decideRemoveNode,
  decideTicket,
  heldPlace,
} from './nodes/nodes.ts';
import { OrderBook } from './orders/order-book.ts';
import {
  decideKill,
  decideLift,
  decideReceipt,
  pendingOrders,
  standingOrders,
  unconfirmedNodes,
} from './orders/orders.ts';
import {
  decideMissing,
  decidePlacement,
  decideReport,
  desired,
  killedBy,
  nextInstanceNumber,
  permitted,
  reportNews,
} from './customers/placement.ts';
import { openPeople } from './operators/operators.ts';
import { Places } from './nodes/places.ts';
import { SessionIndex } from './nodes/session-index.ts';
import { SentTimes } from './orders/sent-times.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import type { OrderDocument } from './store/documents.ts';
import { everything } from '../protocol/roll-call.ts';
import { type Store, StorageError } from './store/store.ts';
import { Newcomers, Strangers } from './nodes/strangers.ts';
import { WorkloadProblems } from './customers/workload-problems.ts';

export type * from './contract.ts';

/** A log that another process has open must not hold up a start: permits are running out. */
const auditPatienceMs = 700;

/** Throws StorageError where the directory is in use by another controller, or a newer Muster wrote its database. */
export async function openInventory({ directory, ...options }: InventoryOptions): Promise<Inventory> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const tightened = keepPrivate(directory);
  const file = join(directory, 'inventory.sqlite');
  const reserve = new DiskReserve(join(directory, 'reserve'), options);
  return openInventoryOn({
    found: tightened,
    reserve,
    openStore: () => reserve.lend(() => openSqliteStore(file)),
    openMark: () => openRevisionMark(join(directory, 'inventory.revision')),
    keepAside: () => keepAside(file, options.now()),
    openTables: (onEvent, say) =>
      reserve.lend(() =>
        openLocalTables(join(directory, 'local.sqlite'), onEvent, {
          say,
          now: options.now,
          isPaused: () => reserve.isReleased,
        }),
      ),
    openAudit: (audited) => new AuditLog({ file: join(directory, 'audit.sqlite'), reserve, ...audited }),
    ...options,
  });
}

/** The same on any store that keeps the contract. It closes what it opened. */
export async function openInventoryOn({
  found = [],
  reserve,
  openStore,
  openMark,
  keepAside: keep = () => Promise.resolve(''),
  openTables,
  openAudit,
  now,
  random,
  warn,
  pause = (ms) => realPause(ms, undefined, { ref: false }),
}: {
  /** What the operator has to know of the state directory, a sentence each. */
  readonly found?: readonly string[];
  /** Left out, a full disk stores nothing until somebody makes room. */
  readonly reserve?: DiskReserve;
  readonly openStore: () => Promise<Store>;
  /** Left out, the audit log is the only witness of what the store once had. */
  readonly openMark?: () => Promise<RevisionMark>;
  /** Copies a store that lost something, before anything is written to it. Gives the words for where it is. */
  readonly keepAside?: () => Promise<string>;
  /** `say`: for an operator to read. */
  readonly openTables: (onEvent: (event: Event) => void, say: (message: string) => void) => Promise<LocalTables>;
  /** Left out, no audit log is kept. */
  readonly openAudit?: (options: Omit<AuditOptions, 'file'>) => AuditLog;
} & Omit<InventoryOptions, 'directory'>): Promise<Inventory> {
  await using stack = new AsyncDisposableStack();
  stack.use(reserve);
  const mark = stack.use(await openMark?.());
  const store = stack.use(await openStore());
  /** What this start found; on the screens until the next one. */
  const notes: string[] = [];
  const listeners = new Set<(change: Change) => void>();
  const tell = (change: Change) => {
    for (const listener of listeners) listener(change);
  };
  const noted = (message: string) => {
    notes.push(message);
    warn?.(message);
  };
  const tables = stack.use(await openTables((event) => tell({ kind: 'event', event }), noted));
  const addEvent = (kind: string, subject: string, message: string) =>
    tables.addEvent({ at: now(), kind, subject, message });

  const memory = new Memory();
  const { documents, revision, foundRevision } = await openDocuments(store);
  memory.load(documents, revision);
  const sessions = new SessionIndex(memory);
  const sent = new SentTimes();
  const feed = new AuditFeed(memory, revision);
  const say = (subject: string) => (message: string) => {
    warn?.(message);
    addEvent('controller', subject, message);
  };
  const audit = stack.use(openAudit?.({ now, source: feed, say: say('audit') }));
  const told = await Promise.race([audit?.told() ?? 'none is kept', pause(auditPatienceMs).then(() => 'it is locked')]);
  const witnesses = { revision: foundRevision, mark: mark?.found, audit: told };
  if (isBehind(witnesses)) {
    noted(lossText(witnesses, await keep()));
    // Nobody may take a new change for one that was told of before the loss.
    store.skipTo(knownRevision(witnesses));
  }
  let verifying: Promise<AuditVerdict> | undefined;
  /** Of all nodes, made when a beacon asks for it. */
  let addresses: Set<string> | undefined;
  await store.watch({
    prefix: '',
    fromRevision: revision,
    onChanges: (changes) => {
      const applied = memory.apply(changes);
      for (const { collection, revision: written } of applied)
        mark?.note(written, collection === 'orders' || collection === 'kill');
      for (const change of applied) {
        sessions.apply(change);
        sent.apply(change);
        if (change.collection === 'nodes') addresses = undefined;
      }
      if (audit !== undefined) feed.tell(audit, applied);
      for (const change of applied.flatMap(announce)) tell(change);
    },
  });
  const decisions = new Decisions({
    store,
    memory,
    reserve,
    onEvents: (events) => {
      for (const { kind, subject, message } of events) addEvent(kind, subject, message);
    },
  });
  stack.defer(() => decisions.idle());
  const takeWith =
    (options: TakeOptions) =>
    <T>(decide: Decide<T>, by?: string) =>
      decisions.take((draft) => {
        draft.by = by;
        return decide(draft);
      }, options);
  const take = takeWith({});
  /** For what makes things safer, or is needed for it: it is stored also where the disk is full. */
  const takeOnReserve = takeWith({ mayUseReserve: true });
  const onOrder = (number: number) => tell({ kind: 'order', number });
  const book = new OrderBook({ memory, take: takeOnReserve, now, pause, onOrder, say: say('orders') });
  stack.defer(() => book.close());
  const steps = new EscalationSteps({ memory, book, take: takeOnReserve, pause, onOrder });
  stack.defer(() => steps.close());
  const killing = (customer: string) =>
    (book.isEmpty ? undefined : (book.standingFor(customer) ?? book.standingFor(everything))?.number) ??
    killedBy(memory, customer);
  const permittedOn = (mac: Mac) =>
    book.standingFor(everything) === undefined
      ? permitted(memory, mac).filter(({ customer }) => book.standingFor(customer) === undefined)
      : [];
  const unconfirmed = (mac: Mac) =>
    pendingOrders(memory, book, mac).filter(({ number }) => book.receipt(number, mac) === undefined);
  for (const message of await takeOnReserve((draft) => decideRecovery(draft, witnesses, now()))) noted(message);
  for (const message of found) noted(message);
  for (const message of notes) addEvent('controller', 'state', message);
  reserve?.begin(say('disk'));
  const epoch = await takeOnReserve((draft) => draft.count('epoch'));
  // Writing the epoch moved the store on: whatever a node was told by an earlier process is older than this.
  memory.startGenerations(memory.revision('counters', 'epoch'));

  const rollCall = new HeartbeatRecord({ memory, take, now, addEvent });
  const places = new Places();
  /** The node whose standing session may be alive. */
  const holder = (mac: Mac) =>
    sessions.of(mac) !== undefined && places.isHeld(mac) ? memory.get('nodes', mac) : undefined;
  const problems = new WorkloadProblems({ memory, addEvent, tell });
  const strangers = new Strangers(now);
  const newcomers = new Newcomers(now);
  const admitted = (mac: Mac) => memory.get('nodes', mac) !== undefined || newcomers.admit();
  const owned = stack.move();

  return {
    epoch,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },

    nodes: () => [...memory.all('nodes').values()],
    node: (mac) => memory.get('nodes', mac),
    bootStage: async (stage) => {
      if (beginsBoot(stage) && holder(stage.mac) !== undefined)
        return places.contested(stage.mac, `a machine asks for an address as ${stage.firmware}, to boot`);
      if (admitted(stage.mac)) await take((draft) => decideBootStage(draft, stage, now()));
    },
    issueTicket: async (mac, ip) => {
      if (!admitted(mac)) return { refused: 'too many new boards at once: try again in some seconds' };
      const token = random(32).toString('hex');
      const answer = await take((draft) =>
        decideTicket(draft, mac, { token, ip, now: now(), isHeld: places.isHeld(mac) }),
      );
      if ('held' in answer) places.contested(mac, `${ip ?? 'a machine'} asks for a boot script`);
      return answer;
    },
    placeHolder: (mac) => {
      const node = holder(mac);
      return node === undefined ? undefined : heldPlace(node).refused;
    },
    join: async (request, ip) => {
      const draw = { sessionId: random(16).toString('hex'), key: random(32).toString('hex') };
      const answer = await take((draft) => {
        const decided = decideJoin(draft, request, { ip, now: now(), draw, isHeld: places.isHeld(request.mac) });
        // Within the decision: who asks in the same transaction finds the place held.
        if ('session' in decided) places.joined(request.mac);
        return decided;
      });
      if ('held' in answer) places.contested(request.mac, `${ip} wants to join with boot ${request.bootId}`);
      return answer;
    },
    session: (id) => sessions.byId(id),
    sessionOf: (mac) => sessions.of(mac),
    heartbeat: (mac, at, { isReplay } = { isReplay: false }) => {
      rollCall.heard(mac, at);
      if (isReplay) return;
      const rival = places.heard(mac);
      const node = rival === undefined ? undefined : memory.get('nodes', mac);
      if (node === undefined) return;
      addEvent(
        'node',
        mac,
        `two machines use this MAC: ${node.name} is alive at ${node.ip} (boot ${node.bootId}) and keeps its place, and ` +
          `${rival}; it was given nothing. Find the other one by its switch port and unplug it`,
      );
    },
    lastHeartbeatAt: (mac) => rollCall.at(mac),
    lastHeartbeatWallClock: (mac) => rollCall.wallClockAt(mac),
    sweep: (at) => {
      places.sweep(at);
      places.forget((mac) => memory.get('nodes', mac) !== undefined);
      return rollCall.sweep(at);
    },
    beaconSeen: ({ uuid, ip, mac }) => {
      addresses ??= new Set(Array.from(memory.all('nodes').values(), (node) => node.ip ?? ''));
      const known = (ip !== undefined && addresses.has(ip)) || memory.get('nodes', mac ?? '') !== undefined;
      const sender = mac ?? ip;
      if (!known && sender !== undefined && strangers.isNew(sender))
        addEvent('node', sender, `beacon of an unknown sender, UUID ${uuid}`);
    },
    renameNode: (mac, name) => take((draft) => decidePatch(draft, mac, { name }, 'operator')),
    patchNode: (mac, patch, by = 'operator') => {
      const isFence = patch.fenced === true && Object.keys(patch).length === 1;
      return (isFence ? takeOnReserve : take)((draft) => decidePatch(draft, mac, patch, by), by);
    },
    removeNode: async (mac, by) => {
      const answer = await takeOnReserve((draft) => decideRemoveNode(draft, mac), by);
      if ('removed' in answer) tables.forgetSample(mac);
      return answer;
    },

    customers: () => [...memory.all('customers').values()],
    customer: (name) => memory.get('customers', name),
    addCustomer: (spec, by) => take((draft) => decideAddCustomer(draft, spec, { now: now() }), by),
    removeCustomer: (name, by) => {
      const order = book.standingFor(name);
      if (order !== undefined)
        return Promise.resolve({
          refused: `order ${order.number} stops ${name}, and is not stored yet: lift it first`,
        });
      return takeOnReserve((draft) => decideRemoveCustomer(draft, name), by);
    },
    images: () => [...memory.all('images').values()],
    image: (name) => memory.get('images', name),
    saveImage: (image) => take((draft) => draft.put('images', image.name, image)),
    removeImage: (name, by) => takeOnReserve((draft) => decideRemoveImage(draft, name), by),
    workloads: () => [...memory.all('workloads').values()],
    workload: (customer, name) => memory.get('workloads', `${customer}/${name}`),
    putWorkload: (customer, name, spec, by) =>
      take((draft) => decidePutWorkload(draft, { customer, name, spec }, now()), by),
    removeWorkload: (customer, name, by) =>
      takeOnReserve((draft) => decideRemoveWorkload(draft, { customer, name }), by),

    instances: () => [...memory.all('instances').values()],
    instance: (id) => memory.get('instances', memory.instanceKey(id) ?? ''),
    instancesOn: (mac) => memory.instancesOn(mac),
    instancesOf: (customer, workload) => memory.instancesOf(customer, workload),
    saveFacts: (mac, facts) =>
      take((draft) => {
        const node = draft.get('nodes', mac);
        if (node !== undefined) draft.put('nodes', mac, { ...node, facts });
      }),
    saveReport: async (mac, reports) => {
      const { news, missing } = reportNews(memory, mac, reports);
      if (news.length + missing.length === 0) return;
      await take((draft) => {
        decideReport(draft, mac, { reports: news, now: now() });
        decideMissing(draft, mac, { ids: missing, now: now() });
      });
    },
    applyPlacement: (placements) =>
      // On a full disk a plan waits; the next one is made anew.
      reserve?.refusal() === undefined
        ? take((draft) => decidePlacement(draft, placements, now()))
        : Promise.resolve({ applied: 0 }),
    nextInstanceNumber: () => nextInstanceNumber(memory),
    setProblems: (found) => problems.set(found),
    problemOf: (customer, workload) => problems.of(customer, workload),
    desired: (mac) => desired(memory, mac),
    configuration: (sha256) => memory.get('configurations', sha256),
    generation: (mac) => memory.generation(mac),
    generationApplied: (mac, generation) => memory.outrun(mac, generation),
    permitted: permittedOn,

    kill: (scope, reason, by, targets, hooks = {}) =>
      book.kill<OrderDocument>(
        { scope, reason, by, targets },
        hooks,
        (order) =>
          (draft): OrderDocument | Refused =>
            decideKill(draft, order),
      ),
    lift: (scope, reason, by = 'operator', hooks = {}) =>
      book.lift<OrderDocument>(
        { scope, reason, by },
        hooks,
        () =>
          (draft): OrderDocument | Refused =>
            decideLift(draft, { scope, reason, by }, now()),
      ),
    isStored: (number) => book.isStored(number),
    diskFull: () => reserve?.refusal()?.message,
    problems: () =>
      [reserve?.problem(), book.problem(), steps.problem(), audit?.problem, ...notes].filter(
        (each) => each !== undefined,
      ),
    people: openPeople({
      memory,
      book,
      take: takeOnReserve,
      now,
      random,
      audit: (subject, body) => audit?.append({ kind: 'approval', subject, body }),
    }),
    orders: () => [...memory.all('orders').values(), ...book.orders()].toSorted((a, b) => a.number - b.number),
    order: (number) => book.order(number) ?? memory.get('orders', String(number)),
    standingOrders: () => [...standingOrders(memory, book)].toSorted((a, b) => a.number - b.number),
    killedBy: killing,
    pendingOrders: (mac) => pendingOrders(memory, book, mac),
    unconfirmedOrders: unconfirmed,
    unconfirmedNodes: () => unconfirmedNodes(memory, book),
    saveReceipt: async (number, mac, facts, heartbeat) => {
      if (memory.get('receipts', `${number}/${mac}`) !== undefined) return;
      const receipt = { sentAfterMs: sent.get(number, mac), ...facts };
      const key = heartbeat === undefined ? undefined : sessions.byId(heartbeat.session)?.key;
      const proof = heartbeat === undefined || key === undefined ? undefined : { ...heartbeat, key };
      await book.hear({ number, mac, ...receipt }, () =>
        feed.withProof(number, mac, proof, () =>
          takeOnReserve((draft) => decideReceipt(draft, { number, mac, receipt, now: now() })),
        ),
      );
    },
    receipts: (number) => [
      ...memory.receipts(number),
      ...book.receipts(number).filter(({ mac }) => !memory.hasReceipt(number, mac)),
    ],
    permitSent: (number, mac, afterMs) => sent.note(number, mac, afterMs),
    sentAfterMs: (number, mac) => memory.get('receipts', `${number}/${mac}`)?.sentAfterMs ?? sent.get(number, mac),
    addEscalation: (number, mac, step) => steps.add(number, mac, step),
    escalation: (number, mac) => steps.of(number, mac),
    drills: drillBook({ memory, take, takeOnReserve, now, epoch }),

    backup: async (directory) => {
      const refusal = reserve?.refusal();
      if (refusal !== undefined) throw refusal;
      await mkdir(directory, { mode: 0o700 });
      // In this order the inventory never lacks what the log beside it tells.
      await audit?.copyTo(join(directory, 'audit.sqlite'));
      await store.copyTo(join(directory, 'inventory.sqlite'));
    },
    audit: (kind, subject, body) => audit?.append({ kind, subject, body }),
    auditEntries: async (wanted) => audit?.entries(wanted) ?? [],
    verifyAudit: () => {
      if (audit === undefined) return Promise.reject(new StorageError('no audit log is kept'));
      verifying ??= verifyAudit(audit, () => feed.documents()).finally(() => (verifying = undefined));
      return verifying;
    },

    addEvent,
    events: (wanted) => tables.events(wanted),
    addSamples: (samples, at) => tables.addSamples(samples, at),
    latestSample: (mac) => tables.latestSample(mac),
    addLogs: (lines) => tables.addLogs(lines),
    logs: (wanted) => tables.logs(wanted),
    leases: () => leaseStore({ memory, take, takeOnReserve }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
