// What the store holds, key by key. Every document is parsed by its schema when it is read from disk (see
// `parseDocument`); in memory it is trusted and never changed in place: a change is a new object under the same key.
import { Type, type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { DesiredInstance } from '../../protocol/api/agent.ts';
import { Approval } from '../../protocol/api/approvals.ts';
import { DrillRequest } from '../../protocol/api/drills.ts';
import { Image } from '../../protocol/api/images.ts';
import { ContainerConfiguration, instanceStates } from '../../protocol/api/instances.ts';
import { NodeFacts, nodePlacements, nodeStates } from '../../protocol/api/nodes.ts';
import { EscalationStep, evidences } from '../../protocol/api/orders.ts';
import { WorkloadSpec } from '../../protocol/api/workloads.ts';
import {
  customerPattern,
  instancePattern,
  nodeNamePattern,
  operatorPattern,
  sha256Pattern,
  workloadPattern,
} from '../../protocol/names.ts';
import { macPattern } from '../../protocol/mac.ts';

const MacAddress = Type.String({ pattern: macPattern });
/** Milliseconds since 1970. */
const Instant = Type.Integer({ minimum: 0 });
const Count = Type.Integer({ minimum: 0 });
const NullOr = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
function oneOf<const T extends readonly string[]>(values: T) {
  return Type.Unsafe<T[number]>(Type.Union(values.map((value) => Type.Literal(value))));
}

/** `nodes/<mac>` */
export const NodeDocument = Type.Object({
  mac: MacAddress,
  name: Type.String({ pattern: nodeNamePattern }),
  slot: Type.Integer({ minimum: 1 }),
  state: oneOf(nodeStates),
  since: Instant,
  reason: Type.String(),
  /** How far the boot has come, `joined` when it is over. */
  stage: Type.String(),
  firmware: NullOr(oneOf(['uboot', 'uefi', 'uefi-http'])),
  ip: NullOr(Type.String()),
  bootId: NullOr(Type.String()),
  serial: NullOr(Type.String()),
  fenced: Type.Boolean(),
  /** Left out: `open`. */
  placement: Type.Optional(oneOf(nodePlacements)),
  /** An operator's. */
  labels: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** Who fenced it, or ended that, last. */
  fencedBy: Type.Optional(Type.String()),
  facts: NullOr(NodeFacts),
  sshHostKey: NullOr(Type.String()),
  agentVersion: NullOr(Type.String()),
  /** First packet of the current boot. */
  firstDhcpAt: NullOr(Instant),
  /** When the current boot first became ready; null until then. */
  readyAt: NullOr(Instant),
  /** When it stopped being ready; null while it is ready, and before it ever was. */
  unreadyAt: NullOr(Instant),
  /** The join token that its boot script carries; called so in older state directories, too. */
  ticket: NullOr(
    Type.Object({
      tokenSha256: Type.String({ pattern: sha256Pattern }),
      expiresAt: Instant,
      /** Whom the script was sent to. */
      ip: Type.Optional(Type.String()),
    }),
  ),
});
export type NodeDocument = Readonly<Static<typeof NodeDocument>>;

/** `sessions/<mac>` */
export const SessionDocument = Type.Object({
  mac: MacAddress,
  id: Type.String({ pattern: '^[0-9a-f]{32}$' }),
  /** HMAC key, 32 bytes in hex. */
  key: Type.String({ pattern: sha256Pattern }),
  bootId: Type.String(),
  /** Of the token that opened it. */
  tokenSha256: Type.String({ pattern: sha256Pattern }),
  at: Instant,
});
export type SessionDocument = Readonly<Static<typeof SessionDocument>>;

/**
 * `leases/<ip>`: what boot/ remembers of an address. Its own fields pass through untouched.
 * - `offered`: we wait for the board's REQUEST; kept in memory only
 * - `bound`: the board has it until `expiresAtMs` (milliseconds since 1970), and nobody else
 * - `released`: the board gave it back; it gets the same again while nobody else needed it
 * - `declined`: somebody else answers at this address: not to be given out until `expiresAtMs`
 */
export const LeaseDocument = Type.Object({
  ip: Type.String(),
  mac: MacAddress,
  state: oneOf(['offered', 'bound', 'released', 'declined']),
  expiresAtMs: Type.Number(),
});
export type LeaseDocument = Static<typeof LeaseDocument>;

/** `customers/<name>` */
export const CustomerDocument = Type.Object({
  name: Type.String({ pattern: customerPattern }),
  onSilence: oneOf(['stop', 'hold']),
  memoryBytes: Count,
  processes: Count,
  uidBase: Count,
  createdAt: Instant,
});
export type CustomerDocument = Readonly<Static<typeof CustomerDocument>>;

/** `workloads/<customer>/<name>` */
export const WorkloadDocument = Type.Object({
  customer: Type.String({ pattern: customerPattern }),
  name: Type.String({ pattern: workloadPattern }),
  spec: WorkloadSpec,
  /** The image as it was when the spec was put: importing another under the same name changes nothing until then. */
  image: Image,
  /** Grows with every change that an instance would notice, so not with `replicas` alone, and with a restart. */
  specRevision: Type.Integer({ minimum: 1 }),
  createdAt: Instant,
  changedAt: Instant,
  /** A drill's: one instance on each of these nodes and none elsewhere. */
  nodes: Type.Optional(Type.Array(MacAddress)),
});
export type WorkloadDocument = Readonly<Static<typeof WorkloadDocument>>;

/** What was wanted once, and the image as it was. */
export const RevisionDocument = Type.Object({
  revision: Type.Integer({ minimum: 1 }),
  at: Instant,
  /** Null where nobody was asked for, or nobody knows any more. */
  by: NullOr(Type.String()),
  changes: Type.Array(Type.String()),
  spec: WorkloadSpec,
  image: Image,
});
export type RevisionDocument = Readonly<Static<typeof RevisionDocument>>;

/** `histories/<customer>/<name>`: oldest first; the last is how it is wanted now. */
export const HistoryDocument = Type.Object({ revisions: Type.Array(RevisionDocument) });
export type HistoryDocument = Readonly<Static<typeof HistoryDocument>>;

/** `instances/<customer>/<workload>/<id>` */
export const InstanceDocument = Type.Object({
  id: Type.String({ pattern: instancePattern }),
  customer: Type.String({ pattern: customerPattern }),
  workload: Type.String({ pattern: workloadPattern }),
  node: MacAddress,
  /** Port of the node that leads to the container's, or null. */
  port: NullOr(Type.Integer()),
  specRevision: Type.Integer({ minimum: 1 }),
  /** How many instances failed in a row before this one in its stead. */
  attempt: Count,
  /** What its node is told, resolved once, when it was placed: a later change of workload or image makes a new instance. */
  desired: DesiredInstance,
  placedAt: Instant,
  state: oneOf(instanceStates),
  reason: Type.String(),
  /** It runs and its checks hold; left out by agents that have none. */
  ready: Type.Optional(Type.Boolean()),
  /** It gets no new traffic, since when and why: it is removed when what it has is done. */
  draining: Type.Optional(Type.Object({ at: Instant, reason: Type.String() })),
  since: Instant,
  restarts: Count,
});
export type InstanceDocument = Readonly<Static<typeof InstanceDocument>>;

/** `configurations/<sha256>`: there while an instance names it. Older ones may be larger than what boards take today. */
export const ConfigurationDocument = ContainerConfiguration;
export type ConfigurationDocument = Readonly<ContainerConfiguration>;

/** `images/<name>` */
export const ImageDocument = Image;
export type ImageDocument = Readonly<Image>;

/** `orders/<number>`: a kill order, standing or lifted. */
export const OrderDocument = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  /** A customer's name, or `*`. */
  scope: Type.String({ pattern: `^\\*$|${customerPattern}` }),
  reason: Type.String(),
  by: Type.String(),
  at: Instant,
  liftedAt: NullOr(Instant),
  liftReason: NullOr(Type.String()),
  liftedBy: Type.Optional(Type.String()),
  /** The nodes that had to stop it when it was stored. */
  targets: Type.Array(MacAddress),
});
export type OrderDocument = Readonly<Static<typeof OrderDocument>>;

/** `kill/<scope>`: there while an order stands. */
export const KillDocument = Type.Object({ number: Type.Integer({ minimum: 1 }) });
export type KillDocument = Readonly<Static<typeof KillDocument>>;

/** `receipts/<number>/<mac>` */
export const ReceiptDocument = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  mac: MacAddress,
  evidence: oneOf(evidences),
  /** From the stored order until the first permit that did not list the customer left, ms; null where none did. */
  sentAfterMs: Type.Optional(NullOr(Type.Number({ minimum: 0 }))),
  /** From the stored order, ms. */
  evidenceAfterMs: Type.Number({ minimum: 0 }),
  /** The node's own figure, ms; null where the evidence is no receipt. */
  stoppedAfterMs: NullOr(Type.Number({ minimum: 0 })),
  processes: Count,
});
export type ReceiptDocument = Readonly<Static<typeof ReceiptDocument>>;

/** `escalations/<number>/<mac>`: what was tried on a node that did not acknowledge, oldest first. */
export const EscalationDocument = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  mac: MacAddress,
  steps: Type.Array(EscalationStep),
});
export type EscalationDocument = Readonly<Static<typeof EscalationDocument>>;

/** `operators/<name>`. `root` has the token of the state directory. */
export const OperatorDocument = Type.Object({
  name: Type.String({ pattern: operatorPattern }),
  /** Of the token as it is sent; the token itself is kept nowhere. */
  tokenSha256: Type.String({ pattern: sha256Pattern }),
  createdAt: Instant,
  /** Of those from before there were roles: `operator`. */
  role: Type.Optional(oneOf(['viewer', 'deployer', 'stopper', 'operator'])),
  /** A deployer's. */
  customer: Type.Optional(Type.String({ pattern: customerPattern })),
  /** Never, where it is left out. */
  expiresAt: Type.Optional(Instant),
});
export type OperatorDocument = Readonly<Static<typeof OperatorDocument>>;

/** `approvals/<id>`: what one operator asked for, while it waits for another. */
export const ApprovalDocument = Approval;
export type ApprovalDocument = Readonly<Approval>;

/** `drills/<number>` */
export const DrillDocument = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  customer: Type.String({ pattern: customerPattern }),
  /** The range that its customer was given by the drill and leaves with it; null where the customer was there before. */
  uidBase: NullOr(Count),
  by: Type.String(),
  /** Of the inventory's opening under which it began: another one by now means that the controller was restarted. */
  epoch: Count,
  startedAt: Instant,
  endedAt: NullOr(Instant),
  phase: oneOf(['deploying', 'killing', 'removing', 'done']),
  /** Known when the killing is over. */
  outcome: NullOr(oneOf(['passed', 'late', 'failed'])),
  problem: Type.String(),
  order: NullOr(Type.Integer({ minimum: 1 })),
  drawn: Count,
  leftOut: Type.Array(Type.String()),
  /** While it is deployed those that were drawn, from then on those that ran the canary; none when it is done. */
  nodes: Type.Array(MacAddress),
  /** Kept here from the end of the killing on: orders and receipts are forgotten sooner than drills. */
  result: NullOr(
    Type.Object({
      nodes: Count,
      stopped: Count,
      medianMs: NullOr(Type.Number()),
      slowestMs: NullOr(Type.Number()),
      unacknowledged: Type.Array(Type.String()),
    }),
  ),
});
export type DrillDocument = Readonly<Static<typeof DrillDocument>>;

/** `drill-schedule/one` */
export const DrillScheduleDocument = Type.Object({
  everySeconds: Type.Integer({ minimum: 1 }),
  request: DrillRequest,
  nextAt: Instant,
});
export type DrillScheduleDocument = Readonly<Static<typeof DrillScheduleDocument>>;

/** `counters/<name>`: only grows. `epoch`, `orders`, `uids`, `instances`, `approvals`, `drills`. */
export const CounterDocument = Type.Object({ value: Count });
export type CounterDocument = Readonly<Static<typeof CounterDocument>>;

/** The document's type by the first part of its key. */
export interface Documents {
  nodes: NodeDocument;
  sessions: SessionDocument;
  leases: LeaseDocument;
  customers: CustomerDocument;
  workloads: WorkloadDocument;
  histories: HistoryDocument;
  instances: InstanceDocument;
  configurations: ConfigurationDocument;
  images: ImageDocument;
  orders: OrderDocument;
  kill: KillDocument;
  receipts: ReceiptDocument;
  escalations: EscalationDocument;
  operators: OperatorDocument;
  approvals: ApprovalDocument;
  drills: DrillDocument;
  'drill-schedule': DrillScheduleDocument;
  counters: CounterDocument;
}
export type Collection = keyof Documents;

export const collections = [
  'nodes',
  'sessions',
  'leases',
  'customers',
  'workloads',
  'histories',
  'instances',
  'configurations',
  'images',
  'orders',
  'kill',
  'receipts',
  'escalations',
  'operators',
  'approvals',
  'drills',
  'drill-schedule',
  'counters',
] as const satisfies Collection[];

const validators = {
  nodes: Compile(NodeDocument),
  sessions: Compile(SessionDocument),
  leases: Compile(LeaseDocument),
  customers: Compile(CustomerDocument),
  workloads: Compile(WorkloadDocument),
  histories: Compile(HistoryDocument),
  instances: Compile(InstanceDocument),
  configurations: Compile(ConfigurationDocument),
  images: Compile(ImageDocument),
  orders: Compile(OrderDocument),
  kill: Compile(KillDocument),
  receipts: Compile(ReceiptDocument),
  escalations: Compile(EscalationDocument),
  operators: Compile(OperatorDocument),
  approvals: Compile(ApprovalDocument),
  drills: Compile(DrillDocument),
  'drill-schedule': Compile(DrillScheduleDocument),
  counters: Compile(CounterDocument),
};

/** By the name that an older state directory has for it, the name of a field today. */
const presentNames = new Map([
  ['confirmedAfterMs', 'evidenceAfterMs'],
  ['unconfirmed', 'unacknowledged'],
]);

/** A document, or what the audit log says of one, as it would be written today. */
export function underPresentNames(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [presentNames.get(name) ?? name, underPresentNames(field)]),
  );
}

/** Throws where the value is not the document that its key promises. */
export function parseDocument<C extends Collection>(
  collection: C,
  { id, value }: { id: string; value: unknown },
): Documents[C] {
  const validator = validators[collection];
  // The validator of this very collection says so.
  if (validator.Check(value)) return value as Documents[C];
  const renamed = underPresentNames(value);
  if (validator.Check(renamed)) return renamed as Documents[C];
  const faults = validator.Errors(value).map(({ instancePath, message }) => `${instancePath || '/'} ${message}`);
  throw new Error(`cannot read ${collection}/${id}: ${faults.slice(0, 3).join('; ')}`);
}
