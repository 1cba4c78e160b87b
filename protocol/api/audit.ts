import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import { Instant, Next, NumberText, Sha256, closed, oneOf, told } from './fields.ts';

/** `gap`: entries were lost, and how many. */
export const auditKinds = [
  'order',
  'lift',
  'receipt',
  'escalation',
  'fence',
  'drill',
  'approval',
  'workload',
  'gap',
] as const;
export type AuditKind = (typeof auditKinds)[number];

export const AuditEntry = Type.Object(
  {
    sequence: Type.Integer({ minimum: 1 }),
    at: Instant,
    kind: oneOf(...auditKinds),
    subject: told(
      'An order’s number, a node’s MAC, a drill’s or an approval’s number, an operator’s name, a workload as acme/web.',
      Type.String(),
    ),
    body: told('JSON text, kept as it was hashed.', Type.String()),
    previous: told('Hash of the entry before; 64 zeros before the first.', Sha256),
    hash: Sha256,
  },
  {
    title: 'AuditEntry',
    description:
      'One entry of the append-only audit log. `hash` is the SHA-256 of `previous`, a line feed, and the JSON text of [sequence, at, kind, subject, body]: who changes, drops or inserts an entry must change every hash after it.',
  },
);
export type AuditEntry = Static<typeof AuditEntry>;

export const AuditVerdict = Type.Object(
  {
    entries: Type.Integer(),
    head: told('Hash of the last entry: note it elsewhere, and nobody can cut the end off unseen.', Sha256),
    receipts: told('Those whose signature was checked again.', Type.Integer()),
    late: told(
      'Entries that were written after a crash or a full disk, from what the inventory had kept.',
      Type.Integer(),
    ),
    problems: told('Each in one sentence; none when the log is whole.', Type.Array(Type.String())),
  },
  {
    title: 'AuditVerdict',
    description: '`GET /v1/audit/verify`: what the controller found when it went through its whole log.',
  },
);
export type AuditVerdict = Static<typeof AuditVerdict>;

export const auditRoutes = {
  listAuditEntries: {
    method: 'GET',
    path: '/v1/audit',
    summary: 'Entries of the audit log, oldest first',
    description: 'Without `after` the newest ones.',
    tag: 'audit',
    security: 'operator',
    schema: {
      querystring: Type.Object(
        {
          after: Type.Optional(told('Those that follow this one.', NumberText)),
          limit: Type.Optional(told('How many at most: 100 where left out, and no more than 1,000.', NumberText)),
        },
        closed,
      ),
      response: { 200: Type.Object({ entries: Type.Array(AuditEntry), next: Next }) },
    },
  },
  verifyAudit: {
    method: 'GET',
    path: '/v1/audit/verify',
    summary: 'Go through the whole audit log',
    tag: 'audit',
    security: 'operator',
    schema: { response: { 200: AuditVerdict } },
  },
} as const satisfies Routes;
