// The inventory: what the rack is and what it should be. It owns the store (documents that must survive) and the local
// tables (events, samples, log lines), keeps all documents in memory for the readers, and decides every change in one
// place, one after another, so that names, slots, ports and numbers are never given twice. Each topic has a book: what
// may be asked about it, declared beside what decides about it.
//
//   caller → decide (sees memory and everything decided before it) → one transaction for all who wait → memory → caller
//
// Save first, answer after: a method that changes something resolves when the change is on disk. When it cannot be
// stored the promise rejects with one sentence and memory is as before. It may import protocol/ only.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditKind } from '../protocol/api/audit.ts';
import { type AuditBook, auditBook } from './audit/audit-book.ts';
import { AuditLog } from './audit/audit.ts';
import { type CustomerBook, customerBook } from './customers/customers.ts';
import { type ImageBook, imageBook } from './customers/images.ts';
import { type InstanceBook, instanceBook } from './customers/instances.ts';
import { WorkloadProblems } from './customers/workload-problems.ts';
import { type WorkloadBook, workloadBook } from './customers/workloads.ts';
import { type DrillBook, drillBook } from './drills/drills.ts';
import { type LeaseStore, leaseStore } from './nodes/leases.ts';
import { type NodeBook, nodeBook } from './nodes/node-book.ts';
import { type ApprovalBook, approvalBook } from './operators/approvals.ts';
import { type OperatorBook, operatorBook } from './operators/operators.ts';
import { EscalationSteps } from './orders/escalation-steps.ts';
import { type OrderBook, orderBook } from './orders/order-book.ts';
import { UnstoredOrders } from './orders/unstored-orders.ts';
import { type EventBook, localBooks, type LogBook, type SampleBook } from './samples/local-books.ts';
import { openLocalTables } from './samples/local-tables.ts';
import { openStorage, type Storage, type StorageOptions } from './storage.ts';
import type { Change } from './store/changes.ts';
import { DiskReserve } from './store/disk-reserve.ts';
import { openRevisionMark } from './store/revision-mark.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import { keepAside, keepPrivate } from './store/state-files.ts';

export interface InventoryOptions extends Pick<StorageOptions, 'now' | 'log' | 'eventLog' | 'pause'> {
  /** Made if it is not there. One controller at a time: a second one is refused. */
  directory: string;
  random: (bytes: number) => Buffer;
}

export interface Inventory extends AsyncDisposable {
  /** Grows by one at each open, stored before open resolves. */
  readonly epoch: number;
  /** Told after a write is on disk and in memory. The returned function ends it. */
  subscribe(listener: (change: Change) => void): () => void;
  readonly nodes: NodeBook;
  readonly customers: CustomerBook;
  readonly images: ImageBook;
  readonly workloads: WorkloadBook;
  readonly instances: InstanceBook;
  readonly orders: OrderBook;
  readonly operators: OperatorBook;
  /** What waits for a second operator. */
  readonly approvals: ApprovalBook;
  readonly drills: DrillBook;
  readonly audit: AuditBook;
  readonly events: EventBook;
  readonly samples: SampleBook;
  readonly logs: LogBook;
  readonly leases: LeaseStore;
  /** Why the disk has no room for anything but orders, removals and the audit log; undefined where it has. */
  diskFull(): string | undefined;
  /** What an operator should look at, a sentence each. */
  problems(): string[];
  /**
   * Copies of the audit log and the inventory, in this order, into a directory that is made for it. Permits go on, changes wait
   * for some ms. Throws StorageError.
   */
  backup(directory: string): Promise<void>;
}

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
        openLocalTables(join(directory, 'local.sqlite'), {
          onEvent,
          ...say,
          now: options.now,
          isPaused: () => reserve.isReleased,
        }),
      ),
    openAudit: (audited) => new AuditLog({ file: join(directory, 'audit.sqlite'), reserve, ...audited }),
    ...options,
  });
}

/** The same on any store that keeps the contract. It closes what it opened. */
export async function openInventoryOn(options: StorageOptions & Pick<InventoryOptions, 'random'>): Promise<Inventory> {
  await using stack = new AsyncDisposableStack();
  const { now, random, reserve } = options;
  const storage = await openStorage(stack, options);
  const { cache, transact, transactOnReserve, tables, addEvent, subscribe, tell, audit, feed, pause } = storage;
  const rooms = { cache, transact, transactOnReserve, now, random };
  const onOrder = (number: number) => tell({ kind: 'order', number });
  const onDisk = { cache, transact: transactOnReserve, now, pause, onOrder };
  const unstored = new UnstoredOrders({ ...onDisk, log: storage.logAs('orders') });
  stack.defer(() => unstored.close());
  const steps = new EscalationSteps({ ...onDisk, unstored });
  stack.defer(() => steps.close());
  const problems = new WorkloadProblems({ cache, addEvent, tell });
  const noteAs = (kind: AuditKind) => (subject: string, body: Readonly<Record<string, unknown>>) =>
    audit?.append({ kind, subject, body });
  const owned = stack.move();
  return {
    epoch: storage.epoch,
    subscribe,
    nodes: nodeBook({ ...rooms, sessions: storage.sessions, unstored, addEvent, subscribe, tables }),
    customers: customerBook({ ...rooms, unstored }),
    images: imageBook(rooms),
    workloads: workloadBook({ ...rooms, problems, audit: noteAs('workload') }),
    instances: instanceBook({ ...rooms, reserve }),
    orders: orderBook({ ...storage, ...onDisk, unstored, steps }),
    operators: operatorBook({ ...rooms, transact: transactOnReserve, audit: noteAs('approval') }),
    approvals: approvalBook({ ...onDisk, unstored, audit: noteAs('approval') }),
    drills: drillBook({ ...rooms, epoch: storage.epoch }),
    audit: auditBook({ log: audit, feed }),
    ...localBooks(tables, addEvent),
    leases: leaseStore(rooms),
    diskFull: () => reserve?.refusal()?.message,
    problems: () =>
      [reserve?.problem(), unstored.problem(), steps.problem(), audit?.problem, ...storage.notes].filter(
        (each) => each !== undefined,
      ),
    backup: (directory) => backup(storage, { reserve, directory }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function backup(
  { store, audit }: Storage,
  { reserve, directory }: { reserve: DiskReserve | undefined; directory: string },
): Promise<void> {
  const refusal = reserve?.refusal();
  if (refusal !== undefined) throw refusal;
  await mkdir(directory, { mode: 0o700 });
  // In this order the inventory never lacks what the log beside it tells.
  await audit?.copyTo(join(directory, 'audit.sqlite'));
  await store.copyTo(join(directory, 'inventory.sqlite'));
}
