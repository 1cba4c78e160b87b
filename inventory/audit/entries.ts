// What the audit log says of a document: the same whether it is written when the document changes, written late after a
// crash, or looked up when the log is checked against the inventory. Pure.
import type { AuditKind } from '../../protocol/api/audit.ts';
import {
  type DrillDocument,
  type EscalationDocument,
  type NodeDocument,
  type OrderDocument,
  parseDocument,
  type ReceiptDocument,
  underPresentNames,
} from '../store/documents.ts';
import type { DocumentChange } from '../store/cache.ts';

export interface NewEntry {
  kind: AuditKind;
  subject: string;
  body: Readonly<Record<string, unknown>>;
}

/** The collections of which every document has entries. */
export type Audited =
  | { collection: 'orders'; document: OrderDocument }
  | { collection: 'receipts'; document: ReceiptDocument }
  | { collection: 'escalations'; document: EscalationDocument }
  | { collection: 'drills'; document: DrillDocument };

/** Two entries with one key tell the same thing: what an order, a lift or a node's receipt may be told of once only. */
export function keyOf({ kind, subject, body }: NewEntry): string {
  switch (kind) {
    case 'receipt':
      return `receipt ${subject} ${String(body['node'])}`;
    case 'escalation':
      return `escalation ${subject} ${[body['node'], body['afterMs'], body['by'], body['outcome']].map(String).join(' ')}`;
    default:
      return `${kind} ${subject}`;
  }
}

export function entriesOf(audited: Audited): NewEntry[] {
  const { number } = audited.document;
  const subject = String(number);
  switch (audited.collection) {
    case 'orders': {
      const { scope, reason, by, at, targets, liftedAt, liftReason, liftedBy } = audited.document;
      const order: NewEntry = { kind: 'order', subject, body: { scope, reason, by, at, targets } };
      if (liftedAt === null) return [order];
      const lift = { scope, reason: liftReason, by: liftedBy ?? null, at: liftedAt };
      return [order, { kind: 'lift', subject, body: lift }];
    }
    case 'receipts': {
      const { mac, evidence, sentAfterMs, stoppedAfterMs, evidenceAfterMs, processes } = audited.document;
      const times = { sentAfterMs: sentAfterMs ?? null, stoppedAfterMs, evidenceAfterMs };
      return [{ kind: 'receipt', subject, body: { node: mac, evidence, ...times, processes } }];
    }
    case 'escalations': {
      const { mac, steps } = audited.document;
      return steps.map((step) => ({ kind: 'escalation' as const, subject, body: { node: mac, ...step } }));
    }
    case 'drills': {
      // The order, the receipts and the lift of one under way have entries of their own.
      const { customer, by, startedAt, endedAt, outcome, problem, order, drawn, leftOut, result } = audited.document;
      if (endedAt === null) return [];
      const body = { customer, by, startedAt, endedAt, outcome, problem, order, drawn, leftOut, ...result };
      return [{ kind: 'drill', subject, body }];
    }
  }
}

/** What a change adds to the log. */
export function entriesOfChange(change: DocumentChange): NewEntry[] {
  switch (change.collection) {
    case 'orders':
    case 'receipts':
    case 'escalations':
    case 'drills': {
      const told = new Set(of(change.collection, change.before).map(keyOf));
      return of(change.collection, change.after).filter((entry) => !told.has(keyOf(entry)));
    }
    case 'nodes':
      return fenceEntries(change.id, { was: change.before?.fenced ?? false, node: change.after });
    default:
      return [];
  }
}

/** `was`: what the log says of this node so far. */
export function fenceEntries(mac: string, { was, node }: { was: boolean; node: NodeDocument | undefined }): NewEntry[] {
  const fenced = node?.fenced ?? false;
  if (fenced === was) return [];
  const removed = node === undefined ? { removed: true } : {};
  return [{ kind: 'fence', subject: mac, body: { fenced, by: node?.fencedBy ?? null, ...removed } }];
}

function of(collection: Audited['collection'], document: Audited['document'] | undefined): NewEntry[] {
  return document === undefined ? [] : entriesOf({ collection, document } as Audited); // a change ties the two
}

/** From the body of an audit entry; undefined where no order could be made of it. */
export function orderOf(subject: string, body: unknown): OrderDocument | undefined {
  const { scope, reason, by, at, targets } = fieldsOf(body);
  const order = { number: Number(subject), scope, reason, by, at, liftedAt: null, liftReason: null, targets };
  return readable(() => parseDocument('orders', { id: subject, value: order }));
}

export function receiptOf(subject: string, body: unknown): ReceiptDocument | undefined {
  const { node: mac, evidence, sentAfterMs, stoppedAfterMs, evidenceAfterMs, processes } = fieldsOf(body);
  const times = { sentAfterMs, stoppedAfterMs, evidenceAfterMs };
  const receipt = { number: Number(subject), mac, evidence, ...times, processes };
  return readable(() => parseDocument('receipts', { id: `${subject}/${String(mac)}`, value: receipt }));
}

function fieldsOf(body: unknown): Record<string, unknown> {
  const present = underPresentNames(body);
  return typeof present === 'object' && present !== null ? { ...present } : {};
}

function readable<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
