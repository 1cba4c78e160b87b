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
import type {
  CustomerSpec,
  Desired,
  EscalationStep,
  Event,
  InstanceReport,
  JoinAnswer,
  JoinRequest,
  LogLine,
  NodeFacts,
  NodePatch,
  Sample,
  WorkloadSpec,
} from '../protocol/api.ts';
import type { Mac } from '../protocol/mac.ts';
import type { PermittedCustomer } from '../protocol/roll-call.ts';
import type {
  CustomerDocument,
  ImageDocument,
  InstanceDocument,
  LeaseDocument,
  NodeDocument,
  OrderDocument,
  ReceiptDocument,
  WorkloadDocument,
} from './documents.ts';
import { announce, type Change } from './changes.ts';
import {
  decideAddCustomer,
  decidePutWorkload,
  decideRemoveCustomer,
  decideRemoveImage,
  decideRemoveWorkload,
} from './customers.ts';
import { type Decide, Decisions } from './decisions.ts';
import { type DrillBook, drillBook } from './drills.ts';
import { HeartbeatRecord } from './heartbeat-record.ts';
import { type LocalTables, openLocalTables } from './local-tables.ts';
import { Memory } from './memory.ts';
import { decideBootStage, decideJoin, decidePatch, decideRemoveNode, decideTicket } from './nodes.ts';
import { decideEscalation, decideKill, decideLift, decideReceipt, pendingOrders } from './orders.ts';
import {
  decidePlacement,
  decideReport,
  desired,
  differs,
  killedBy,
  nextInstanceNumber,
  permitted,
} from './placement.ts';
import { openPeople, type People } from './people.ts';
import { SessionIndex } from './session-index.ts';
import { SentTimes } from './sent-times.ts';
import { openSqliteStore } from './sqlite-store.ts';
import type { Store } from './store.ts';
import { Newcomers, Strangers } from './strangers.ts';

/** A value, not an error: the request was understood and the answer is no, in one sentence. */
export interface Refused {
  refused: string;
}

export type { Change };

/** A board's way from power-on, as seen by DHCP, TFTP and HTTP. */
export interface BootStage {
  mac: Mac;
  /** `dhcp-discover` together with `firmware` is the start of a boot; anything else is progress. */
  stage: string;
  ip?: string;
  firmware?: NonNullable<NodeDocument['firmware']>;
  detail?: string;
}

export interface Session {
  id: string;
  mac: Mac;
  key: Buffer;
  bootId: string;
}

/** What the scheduler wants done, each step on its own applicable or not, see `applyPlacement`. */
export type Placement =
  | {
      kind: 'place';
      /** `<workload>-<number in 8 hex>`: see `nextInstanceNumber`. */
      id: string;
      customer: string;
      workload: string;
      node: Mac;
      port: number | null;
      specRevision: number;
      /** How many instances failed in a row before this one in its stead; none where left out. */
      attempt?: number;
      reason: string;
    }
  | { kind: 'remove'; id: string; reason: string };

/** Left out, `sentAfterMs` is what `permitSent` was told. */
export type ReceiptFacts = Omit<ReceiptDocument, 'number' | 'mac'>;

export interface LeaseStore {
  load(): Promise<LeaseDocument[]>;
  save(leases: LeaseDocument[]): Promise<void>;
}

export interface InventoryOptions {
  /** Made if it is not there. One controller at a time: a second one is refused. */
  directory: string;
  /** Milliseconds since 1970. */
  now: () => number;
  random: (bytes: number) => Buffer;
}

/** Documents that it returns are shared and must not be changed. */
export interface Inventory extends AsyncDisposable {
  /** Grows by one at each open, stored before open resolves. */
  readonly epoch: number;
  /** Told after a write is on disk and in memory. The returned function ends it. */
  subscribe(listener: (change: Change) => void): () => void;

  nodes(): NodeDocument[];
  node(mac: Mac): NodeDocument | undefined;
  /**
   * Makes unknown nodes (`node-<last three bytes>`, lowest free slot): 700 at once and 50 a second, 4,096 in all; what
   * is beyond that is ignored.
   */
  bootStage(stage: BootStage): Promise<void>;
  /** A one-time token, 64 hex digits, bound to the MAC, good for ten minutes; an earlier one stops working. */
  issueTicket(mac: Mac): Promise<{ token: string } | Refused>;
  join(request: JoinRequest, ip: string): Promise<JoinAnswer | Refused>;
  session(id: string): Session | undefined;
  sessionOf(mac: Mac): Session | undefined;
  /** For each heartbeat whose signature was right: memory only, but for the step to `ready`. */
  heartbeat(mac: Mac, at: number): void;
  /** By the clock of `heartbeat`, which may be monotonic. */
  lastHeartbeatAt(mac: Mac): number | undefined;
  /** By the inventory's own clock. */
  lastHeartbeatWallClock(mac: Mac): number | undefined;
  /**
   * ready → silent → lost by time, on the clock of `heartbeat`: call it every 250 ms. The first call starts the time of
   * nodes not heard yet. After a pause of over 5 s (a suspended machine) all nodes get their time anew, since their
   * heartbeats may still be waiting in the socket.
   */
  sweep(now: number): Promise<void>;
  /** A beacon proves nothing: an unknown sender leaves an event (a bounded number of them) and nothing else. */
  beaconSeen(beacon: { uuid: string; ip?: string; mac?: Mac }): void;
  renameNode(mac: Mac, name: string): Promise<NodeDocument | Refused>;
  /** `by`, here and below: the operator who asked, for the events. */
  patchNode(mac: Mac, patch: NodePatch, by?: string): Promise<NodeDocument | Refused>;
  /** Refused while it is ready. Its session, ticket and instances go with it. */
  removeNode(mac: Mac, by?: string): Promise<{ removed: Mac } | Refused>;

  customers(): CustomerDocument[];
  customer(name: string): CustomerDocument | undefined;
  addCustomer(spec: CustomerSpec, by?: string): Promise<CustomerDocument | Refused>;
  removeCustomer(name: string, by?: string): Promise<{ removed: string } | Refused>;
  images(): ImageDocument[];
  image(name: string): ImageDocument | undefined;
  saveImage(image: ImageDocument): Promise<void>;
  removeImage(name: string, by?: string): Promise<{ removed: string } | Refused>;
  workloads(): WorkloadDocument[];
  workload(customer: string, name: string): WorkloadDocument | undefined;
  putWorkload(customer: string, name: string, spec: WorkloadSpec, by?: string): Promise<WorkloadDocument | Refused>;
  removeWorkload(customer: string, name: string, by?: string): Promise<{ removed: string } | Refused>;

  instances(): InstanceDocument[];
  instance(id: string): InstanceDocument | undefined;
  instancesOn(mac: Mac): InstanceDocument[];
  instancesOf(customer: string, workload?: string): InstanceDocument[];
  /** What a node found out about itself after its join. */
  saveFacts(mac: Mac, facts: NodeFacts): Promise<void>;
  /** Stores what changed; ids that are not placed on that node are ignored. */
  saveReport(mac: Mac, reports: InstanceReport[]): Promise<void>;
  /** For scheduler/execute.ts: all in one transaction; steps that are done already, or no longer fit, are left out. */
  applyPlacement(placements: Placement[]): Promise<{ applied: number }>;
  /** The number that the next new instance must have: ids are never used twice. */
  nextInstanceNumber(): number;
  /** Why a workload does not run as wanted, as the scheduler sees it; memory only. An empty map clears all. */
  setProblems(problems: ReadonlyMap<string, string>): void;
  /** By `<customer>/<workload>`; empty when there is none. */
  problemOf(customer: string, workload: string): string;
  /** What should be on a node. Without killed customers' instances; nothing where the node is fenced. */
  desired(mac: Mac): Desired;
  /** Grows whenever `desired` or `permitted` of that node changed. */
  generation(mac: Mac): bigint;
  permitted(mac: Mac): PermittedCustomer[];

  /** `scope`: a customer's name or `*`. Its order is on disk when it resolves. */
  kill(scope: string, reason: string, by: string, targets: Mac[]): Promise<OrderDocument | Refused>;
  /** `by`: `operator` where nobody is named. */
  lift(scope: string, reason: string, by?: string): Promise<OrderDocument | Refused>;
  /** Operators, and what waits for a second one. */
  readonly people: People;
  orders(): OrderDocument[];
  order(number: number): OrderDocument | undefined;
  standingOrders(): OrderDocument[];
  /** The number of the order that stops this customer: its own or the one for everything. */
  killedBy(customer: string): number | undefined;
  /** Standing orders that this node was a target of and has not confirmed, oldest first. */
  pendingOrders(mac: Mac): OrderDocument[];
  /** Idempotent: the first receipt of a node for an order stays. Ignored where there is no such order. */
  saveReceipt(number: number, mac: Mac, receipt: ReceiptFacts): Promise<void>;
  receipts(number: number): ReceiptDocument[];
  /** The first permit for this node that follows a standing order left so long after it, ms. Memory only; the first stays. */
  permitSent(number: number, mac: Mac, afterMs: number): void;
  /** In ms, by the receipt, or by what `permitSent` was told; null where this process sent none. */
  sentAfterMs(number: number, mac: Mac): number | null;
  /** Ignored where there is no such order, or it did not name the node. Past 40 steps the newest takes the last place. */
  addEscalation(number: number, mac: Mac, step: EscalationStep): Promise<void>;
  /** Oldest first. */
  escalation(number: number, mac: Mac): EscalationStep[];
  readonly drills: DrillBook;

  /** Queued, bounded, never throws. */
  addEvent(kind: string, subject: string, message: string): void;
  /** Oldest first. With `after`: those that followed it; without: the newest. */
  events(wanted: { after?: number; limit: number; subject?: string }): Promise<Event[]>;
  addSamples(samples: ReadonlyMap<Mac, Sample>, at: number): void;
  latestSample(mac: Mac): Sample | undefined;
  addLogs(lines: (LogLine & { customer: string; workload: string })[]): void;
  /** Oldest first, the last `tail` lines. */
  logs(wanted: { customer: string; workload?: string; instance?: string; tail: number }): Promise<LogLine[]>;
  leases(): LeaseStore;
}

/** Throws StorageError where the directory is in use by another controller, or a newer Muster wrote its database. */
export async function openInventory({ directory, now, random }: InventoryOptions): Promise<Inventory> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return openInventoryOn({
    openStore: () => openSqliteStore(join(directory, 'inventory.sqlite')),
    openTables: (onEvent) => openLocalTables(join(directory, 'local.sqlite'), onEvent),
    now,
    random,
  });
}

/** The same on any store that keeps the contract. It closes what it opened. */
export async function openInventoryOn({
  openStore,
  openTables,
  now,
  random,
}: {
  readonly openStore: () => Promise<Store>;
  readonly openTables: (onEvent: (event: Event) => void) => Promise<LocalTables>;
} & Omit<InventoryOptions, 'directory'>): Promise<Inventory> {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openStore());
  const listeners = new Set<(change: Change) => void>();
  const tell = (change: Change) => {
    for (const listener of listeners) listener(change);
  };
  const tables = stack.use(await openTables((event) => tell({ kind: 'event', event })));
  const addEvent = (kind: string, subject: string, message: string) =>
    tables.addEvent({ at: now(), kind, subject, message });

  const memory = new Memory();
  const { documents, revision } = await store.list('');
  memory.load(documents, revision);
  const sessions = new SessionIndex(memory);
  const sent = new SentTimes();
  /** Of all nodes, made when a beacon asks for it. */
  let addresses: Set<string> | undefined;
  await store.watch({
    prefix: '',
    fromRevision: revision,
    onChanges: (changes) => {
      const applied = memory.apply(changes);
      for (const change of applied) {
        sessions.apply(change);
        sent.apply(change);
        if (change.collection === 'nodes') addresses = undefined;
      }
      for (const change of applied.flatMap(announce)) tell(change);
    },
  });
  const decisions = new Decisions({
    store,
    memory,
    onEvents: (events) => {
      for (const { kind, subject, message } of events) addEvent(kind, subject, message);
    },
  });
  stack.defer(() => decisions.idle());
  const take = <T>(decide: Decide<T>, by?: string) =>
    decisions.take((draft) => {
      draft.by = by;
      return decide(draft);
    });
  const epoch = await take((draft) => draft.count('epoch'));
  // Writing the epoch moved the store on: whatever a node was told by an earlier process is older than this.
  memory.startGenerations(revision + 1);

  const rollCall = new HeartbeatRecord({ memory, take, now, addEvent });
  const problems = new Map<string, string>();
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
      if (admitted(stage.mac)) await take((draft) => decideBootStage(draft, stage, now()));
    },
    issueTicket: async (mac) => {
      if (!admitted(mac)) return { refused: 'too many new boards at once: try again in some seconds' };
      const token = random(32).toString('hex');
      return take((draft) => decideTicket(draft, mac, { token, now: now() }));
    },
    join: (request, ip) => {
      const draw = { sessionId: random(16).toString('hex'), key: random(32).toString('hex') };
      return take((draft) => decideJoin(draft, request, { ip, now: now(), draw }));
    },
    session: (id) => sessions.byId(id),
    sessionOf: (mac) => sessions.of(mac),
    heartbeat: (mac, at) => rollCall.heard(mac, at),
    lastHeartbeatAt: (mac) => rollCall.at(mac),
    lastHeartbeatWallClock: (mac) => rollCall.wallClockAt(mac),
    sweep: (at) => rollCall.sweep(at),
    beaconSeen: ({ uuid, ip, mac }) => {
      addresses ??= new Set(Array.from(memory.all('nodes').values(), (node) => node.ip ?? ''));
      const known = (ip !== undefined && addresses.has(ip)) || memory.get('nodes', mac ?? '') !== undefined;
      const sender = mac ?? ip;
      if (!known && sender !== undefined && strangers.isNew(sender))
        addEvent('node', sender, `beacon of an unknown sender, UUID ${uuid}`);
    },
    renameNode: (mac, name) => take((draft) => decidePatch(draft, mac, { name }, 'operator')),
    patchNode: (mac, patch, by = 'operator') => take((draft) => decidePatch(draft, mac, patch, by), by),
    removeNode: async (mac, by) => {
      const answer = await take((draft) => decideRemoveNode(draft, mac), by);
      if ('removed' in answer) tables.forgetSample(mac);
      return answer;
    },

    customers: () => [...memory.all('customers').values()],
    customer: (name) => memory.get('customers', name),
    addCustomer: (spec, by) => take((draft) => decideAddCustomer(draft, spec, { now: now() }), by),
    removeCustomer: (name, by) => take((draft) => decideRemoveCustomer(draft, name), by),
    images: () => [...memory.all('images').values()],
    image: (name) => memory.get('images', name),
    saveImage: (image) => take((draft) => draft.put('images', image.name, image)),
    removeImage: (name, by) => take((draft) => decideRemoveImage(draft, name), by),
    workloads: () => [...memory.all('workloads').values()],
    workload: (customer, name) => memory.get('workloads', `${customer}/${name}`),
    putWorkload: (customer, name, spec, by) =>
      take((draft) => decidePutWorkload(draft, { customer, name, spec }, now()), by),
    removeWorkload: (customer, name, by) => take((draft) => decideRemoveWorkload(draft, { customer, name }), by),

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
      // Most reports bring nothing new: those cost no transaction.
      const news = reports.filter((report) => {
        const instance = memory.get('instances', memory.instanceKey(report.id) ?? '');
        return instance !== undefined && differs(instance, report);
      });
      if (news.length > 0) await take((draft) => decideReport(draft, mac, { reports: news, now: now() }));
    },
    applyPlacement: (placements) => take((draft) => decidePlacement(draft, placements, now())),
    nextInstanceNumber: () => nextInstanceNumber(memory),
    setProblems: (found) => {
      const names = new Set([...problems.keys(), ...found.keys()]);
      for (const id of names) {
        const text = found.get(id) ?? '';
        if (text === (problems.get(id) ?? '')) continue;
        if (text === '') problems.delete(id);
        else problems.set(id, text);
        const workload = memory.get('workloads', id);
        if (workload === undefined) continue;
        addEvent('workload', id, text === '' ? 'runs as wanted again' : text);
        tell({ kind: 'workload', customer: workload.customer, name: workload.name });
      }
    },
    problemOf: (customer, workload) => problems.get(`${customer}/${workload}`) ?? '',
    desired: (mac) => desired(memory, mac),
    generation: (mac) => memory.generation(mac),
    permitted: (mac) => permitted(memory, mac),

    kill: (scope, reason, by, targets) => take((draft) => decideKill(draft, { scope, reason, by, targets }, now())),
    lift: (scope, reason, by = 'operator') => take((draft) => decideLift(draft, { scope, reason, by }, now())),
    people: openPeople({ memory, take, now, random }),
    orders: () => [...memory.all('orders').values()].toSorted((a, b) => a.number - b.number),
    order: (number) => memory.get('orders', String(number)),
    standingOrders: () =>
      [...memory.all('kill').values()]
        .flatMap(({ number }) => memory.get('orders', String(number)) ?? [])
        .toSorted((a, b) => a.number - b.number),
    killedBy: (customer) => killedBy(memory, customer),
    pendingOrders: (mac) => pendingOrders(memory, mac),
    saveReceipt: async (number, mac, facts) => {
      if (memory.get('receipts', `${number}/${mac}`) !== undefined) return;
      const receipt = { sentAfterMs: sent.get(number, mac), ...facts };
      await take((draft) => decideReceipt(draft, { number, mac, receipt, now: now() }));
    },
    receipts: (number) => memory.receipts(number),
    permitSent: (number, mac, afterMs) => sent.note(number, mac, afterMs),
    sentAfterMs: (number, mac) => memory.get('receipts', `${number}/${mac}`)?.sentAfterMs ?? sent.get(number, mac),
    addEscalation: (number, mac, step) => take((draft) => decideEscalation(draft, { number, mac, step })),
    escalation: (number, mac) => memory.get('escalations', `${number}/${mac}`)?.steps ?? [],
    drills: drillBook({ memory, take, now, epoch }),

    addEvent,
    events: (wanted) => tables.events(wanted),
    addSamples: (samples, at) => tables.addSamples(samples, at),
    latestSample: (mac) => tables.latestSample(mac),
    addLogs: (lines) => tables.addLogs(lines),
    logs: (wanted) => tables.logs(wanted),
    leases: () => ({
      load: () => Promise.resolve([...memory.all('leases').values()]),
      save: (leases) =>
        take((draft) => {
          for (const lease of leases) draft.put('leases', lease.ip, lease);
        }),
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
