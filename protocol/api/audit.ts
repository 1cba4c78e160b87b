import { Type, type Static } from 'typebox';
import { Instant, Sha256, oneOf } from './fields.ts';

/** `gap`: entries were lost, and how many. */
export const auditKinds = ['order', 'lift', 'receipt', 'escalation', 'fence', 'drill', 'approval', 'gap'] as const;
export type AuditKind = (typeof auditKinds)[number];

/**
 * One entry of the append-only audit log. `hash` is the SHA-256 of `previous`, a line feed, and the JSON text of
 * [sequence, at, kind, subject, body]: who changes, drops or inserts an entry must change every hash after it.
 */
export const AuditEntry = Type.Object({
  sequence: Type.Integer({ minimum: 1 }),
  at: Instant,
  kind: oneOf(...auditKinds),
  /** An order's number, a node's MAC, a drill's or an approval's number, an operator's name. */
  subject: Type.String(),
  /** JSON text, kept as it was hashed. */
  body: Type.String(),
  /** Hash of the entry before; 64 zeros before the first. */
  previous: Sha256,
  hash: Sha256,
});
export type AuditEntry = Static<typeof AuditEntry>;

/** `GET /v1/audit/verify`: what the controller found when it went through its whole log. */
export const AuditVerdict = Type.Object({
  entries: Type.Integer(),
  /** Hash of the last entry: note it elsewhere, and nobody can cut the end off unseen. */
  head: Sha256,
  /** Those whose signature was checked again. */
  receipts: Type.Integer(),
  /** Entries that were written after a crash or a full disk, from what the inventory had kept. */
  late: Type.Integer(),
  /** Each in one sentence; none when the log is whole. */
  problems: Type.Array(Type.String()),
});
export type AuditVerdict = Static<typeof AuditVerdict>;
