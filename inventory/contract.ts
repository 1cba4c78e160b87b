// What the rest of Muster asks of the inventory. `inventory.ts` keeps it.
import type {
  AuditEntry,
  AuditKind,
  AuditVerdict,
  CustomerSpec,
  Desired,
  EscalationStep,
  Event,
  InstanceReport,
  JoinAnswer,
  JoinRequest,
  LogLine,
  LogPage,
  NodeFacts,
  NodePatch,
  Sample,
  WorkloadSpec,
} from '../protocol/api.ts';
import type { WantedLogs } from './samples/local-tables.ts';
import type { Mac } from '../protocol/mac.ts';
import type { PermittedCustomer } from '../protocol/roll-call.ts';
import type {
  ConfigurationDocument,
  CustomerDocument,
  ImageDocument,
  InstanceDocument,
  LeaseDocument,
  NodeDocument,
  OrderDocument,
  ReceiptDocument,
  WorkloadDocument,
} from './store/documents.ts';
import type { Change } from './store/changes.ts';
import type { DrillBook } from './drills/drills.ts';
import type { People } from './operators/operators.ts';

/** A value, not an error: the request was understood and the answer is no, in one sentence. */
export interface Refused {
  refused: string;
  /** The board with this MAC may still be alive: ask again in a second. */
  held?: true;
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

/** Each is called at most once. */
export interface OrderHooks {
  /** Not refused: the order that is given, or the one that is to be lifted. Before the call returns. */
  accepted?: (order: OrderDocument) => void;
  /** From now on permits read otherwise. An order: before the call returns. */
  inForce?: (order: OrderDocument) => void;
}

/** The datagram with the receipt in it, as it came, and the session that signed it. */
export interface SignedHeartbeat {
  session: string;
  datagram: Buffer;
}

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
  /** For what an operator has to read at once: that the disk takes nothing, or lost something. It is an event as well. */
  warn?: ((message: string) => void) | undefined;
  /** Between attempts to store an order; by the real clock where left out. */
  pause?: ((ms: number) => Promise<void>) | undefined;
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
  /**
   * A one-time token, 64 hex digits, bound to the MAC, good for ten minutes; an earlier one stops working. Where `ip` is
   * given, only who joins from there, or from another address that is leased to this MAC, may use it. `held` while the
   * board's standing session may be alive.
   */
  issueTicket(mac: Mac, ip?: string): Promise<{ token: string } | Refused>;
  /** As `issueTicket` would refuse now because the board's session may be alive: who holds its place. Costs no write. */
  placeHolder(mac: Mac): string | undefined;
  join(request: JoinRequest, ip: string): Promise<JoinAnswer | Refused>;
  session(id: string): Session | undefined;
  sessionOf(mac: Mac): Session | undefined;
  /**
   * For each heartbeat whose signature was right: memory only, but for the step to `ready`. `isReplay`: it
   * answers no permit of this process, so it may be an old one that somebody sends again, and proves nothing about whose
   * place it is; false when left out.
   */
  heartbeat(mac: Mac, at: number, options?: { isReplay: boolean }): void;
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
  /**
   * All that is on that node. Stores what changed; ids that are not placed there are ignored, and an instance that is placed
   * there and not named does not run.
   */
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
  /** That the desired state names by its digest. */
  configuration(sha256: string): ConfigurationDocument | undefined;
  /** Grows whenever `desired` or `permitted` of that node changed. */
  generation(mac: Mac): bigint;
  /** What a node says it has applied: it is told a later generation where that is later than its own. Memory only. */
  generationApplied(mac: Mac, generation: bigint): void;
  permitted(mac: Mac): PermittedCustomer[];

  /**
   * `scope`: a customer's name or `*`. In force when it returns, on disk when it resolves: it is tried until the disk takes
   * it. Rejects with StorageError where the inventory is closed before.
   */
  kill(scope: string, reason: string, by: string, targets: Mac[], hooks?: OrderHooks): Promise<OrderDocument | Refused>;
  /** `by`: `operator` where nobody is named. On disk when it resolves, and tried until then. */
  lift(scope: string, reason: string, by?: string, hooks?: OrderHooks): Promise<OrderDocument | Refused>;
  /** Neither the order nor its lift waits for the disk. */
  isStored(number: number): boolean;
  /** Why the disk has no room for anything but orders, removals and the audit log; undefined where it has. */
  diskFull(): string | undefined;
  /** What an operator should look at, a sentence each. */
  problems(): string[];
  /** Operators, and what waits for a second one. */
  readonly people: People;
  orders(): OrderDocument[];
  order(number: number): OrderDocument | undefined;
  standingOrders(): OrderDocument[];
  /** The number of the order that stops this customer: its own or the one for everything. */
  killedBy(customer: string): number | undefined;
  /** Standing orders that this node was a target of, without a receipt of it on disk, oldest first. */
  pendingOrders(mac: Mac): OrderDocument[];
  /** Of those the ones that it has not confirmed either: a receipt may wait for the disk. */
  unconfirmedOrders(mac: Mac): OrderDocument[];
  /** The nodes for which `unconfirmedOrders` has something. */
  unconfirmedNodes(): Mac[];
  /**
   * Idempotent: the first receipt of a node for an order stays. Ignored where there is no such order. Counts at once, and is
   * tried until the disk has taken it; resolves after the first attempt.
   */
  saveReceipt(number: number, mac: Mac, receipt: ReceiptFacts, heartbeat?: SignedHeartbeat): Promise<void>;
  receipts(number: number): ReceiptDocument[];
  /** The first permit for this node that follows a standing order left so long after it, ms. Memory only; the first stays. */
  permitSent(number: number, mac: Mac, afterMs: number): void;
  /** In ms, by the receipt, or by what `permitSent` was told; null where this process sent none. */
  sentAfterMs(number: number, mac: Mac): number | null;
  /**
   * Ignored where there is no such order, or it did not name the node. Past 40 steps the newest takes the place of the last of
   * its kind. Counts at once, and is tried until the disk has taken it; resolves when it has, and after 700 ms at the latest.
   */
  addEscalation(number: number, mac: Mac, step: EscalationStep): Promise<void>;
  /** Oldest first. */
  escalation(number: number, mac: Mac): EscalationStep[];
  readonly drills: DrillBook;

  /**
   * Copies of the audit log and the inventory, in this order, into a directory that is made for it. Permits go on, changes wait
   * for some ms. Throws StorageError.
   */
  backup(directory: string): Promise<void>;
  /**
   * An entry of the audit log, queued, never throws. Orders, lifts, receipts, escalations, fences and drills get
   * theirs by themselves.
   */
  audit(kind: AuditKind, subject: string, body: Readonly<Record<string, unknown>>): void;
  /** Oldest first. With `after`: those that followed it; without: the newest. Throws StorageError. */
  auditEntries(wanted: { after?: number; limit: number }): Promise<AuditEntry[]>;
  /** Goes through the whole log, in pages; who asks meanwhile shares the answer. Throws StorageError. */
  verifyAudit(): Promise<AuditVerdict>;

  /** Queued, bounded, never throws. */
  addEvent(kind: string, subject: string, message: string): void;
  /** Oldest first. With `after`: those that followed it; without: the newest. */
  events(wanted: { after?: number; limit: number; subject?: string }): Promise<Event[]>;
  addSamples(samples: ReadonlyMap<Mac, Sample>, at: number): void;
  latestSample(mac: Mac): Sample | undefined;
  addLogs(lines: (LogLine & { customer: string; workload: string })[]): void;
  /** Oldest first, the last `tail` lines. */
  logs(wanted: WantedLogs): Promise<LogPage>;
  leases(): LeaseStore;
}
