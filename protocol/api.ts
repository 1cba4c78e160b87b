// The HTTP API, described once. From these schemas come the types, the validation of every request and answer,
// `docs/openapi.json`, and the clients in the CLI, the page and the agent. No implementation here.
//
// Operators talk to /v1 on loopback; every request wants the token of an operator as a bearer token.
// Agents talk to the routes of `agentRoutes` over TLS on the rack's interface, with the certificate pinned.
import { Type, type Static } from 'typebox';
import {
  customerPattern,
  imageNamePattern,
  instancePattern,
  nodeNamePattern,
  operatorPattern,
  sha256Pattern,
  workloadPattern,
} from './names.ts';
import { macPattern } from './mac.ts';
import { instancesPerNodeLimit, reportedInstancesLimit } from './desired-state.ts';

const closed = { additionalProperties: false } as const;
/** Milliseconds since 1970, by the controller's clock. */
const Instant = Type.Integer({ minimum: 0 });
const MacAddress = Type.String({ pattern: macPattern });
const CustomerName = Type.String({ pattern: customerPattern });
const WorkloadName = Type.String({ pattern: workloadPattern });
const InstanceId = Type.String({ pattern: instancePattern });
const ImageName = Type.String({ pattern: imageNamePattern });
const Sha256 = Type.String({ pattern: sha256Pattern });
function oneOf<const T extends readonly string[]>(...values: T) {
  return Type.Unsafe<T[number]>(Type.Union(values.map((value) => Type.Literal(value))));
}

// ---- nodes ----------------------------------------------------------------------------------------------------

/** What each state waits for is told in `inventory/nodes/life-cycle.ts`. */
export const nodeStates = ['seen', 'loading', 'joining', 'ready', 'silent', 'lost'] as const;
export type NodeState = (typeof nodeStates)[number];

// A board sends these, and they are kept: closed, so that it cannot have anything else kept.
/** What the agent finds out once, at join, with `systeminformation`. */
export const NodeFacts = Type.Object(
  {
    model: Type.String({ maxLength: 200 }),
    cpu: Type.String({ maxLength: 200 }),
    cores: Type.Integer({ minimum: 0 }),
    memoryBytes: Type.Integer({ minimum: 0 }),
    kernel: Type.String({ maxLength: 200 }),
    interfaces: Type.Array(
      Type.Object(
        {
          name: Type.String({ maxLength: 32 }),
          mac: Type.String({ maxLength: 32 }),
          ip: Type.String({ maxLength: 64 }),
          speedMbps: Type.Union([Type.Number(), Type.Null()]),
        },
        closed,
      ),
      { maxItems: 32 },
    ),
  },
  closed,
);
export type NodeFacts = Static<typeof NodeFacts>;

/** What the agent reports every few seconds. Shares are 0 to 1. */
export const Sample = Type.Object(
  {
    cpu: Type.Number(),
    cpuPerCore: Type.Array(Type.Number(), { maxItems: 256 }),
    memoryUsedBytes: Type.Number(),
    memoryTotalBytes: Type.Number(),
    temperatureCelsius: Type.Union([Type.Number(), Type.Null()]),
    uptimeSeconds: Type.Number(),
    rxBytesPerSecond: Type.Number(),
    txBytesPerSecond: Type.Number(),
    agentRssBytes: Type.Number(),
    /** Worst delay of the thread that obeys permits since the last sample, ms. */
    permitThreadDelayMs: Type.Number(),
  },
  closed,
);
export type Sample = Static<typeof Sample>;

export const Node = Type.Object({
  mac: MacAddress,
  /** Operators may rename it; `node-<last three bytes>` until then. */
  name: Type.String({ pattern: nodeNamePattern }),
  /** Place in the rack, 1 to 684 and up; the lowest free one until an operator says otherwise. */
  slot: Type.Integer({ minimum: 1 }),
  state: oneOf(...nodeStates),
  /** When it entered the state, and why. */
  since: Instant,
  reason: Type.String(),
  /** How far the boot has come: `dhcp`, `tftp`, `script`, `kernel`, `initrd`, `root`, `joined`, … */
  stage: Type.String(),
  firmware: Type.Union([oneOf('uboot', 'uefi', 'uefi-http'), Type.Null()]),
  ip: Type.Union([Type.String(), Type.Null()]),
  bootId: Type.Union([Type.String(), Type.Null()]),
  serial: Type.Union([Type.String(), Type.Null()]),
  /** An operator keeps it out: it gets no kernel, no workloads and no permits. */
  fenced: Type.Boolean(),
  lastHeartbeatAt: Type.Union([Instant, Type.Null()]),
  /** Ready to work, from its first DHCP packet, ms. */
  bootDurationMs: Type.Union([Type.Integer(), Type.Null()]),
  instances: Type.Integer(),
  customers: Type.Array(CustomerName),
  facts: Type.Union([NodeFacts, Type.Null()]),
  sample: Type.Union([Sample, Type.Null()]),
});
export type Node = Static<typeof Node>;

export const NodePatch = Type.Partial(
  Type.Object({
    name: Type.String({ pattern: nodeNamePattern }),
    slot: Type.Integer({ minimum: 1, maximum: 100_000 }),
    fenced: Type.Boolean(),
  }),
  { ...closed, minProperties: 1 },
);
export type NodePatch = Static<typeof NodePatch>;

/** What a board answers by SSH, by question: `kernel`, `processes`, … */
export const Diagnosis = Type.Record(Type.String(), Type.String());
export type Diagnosis = Static<typeof Diagnosis>;

export const PowerRequest = Type.Object(
  {
    state: oneOf('on', 'off'),
    /** Other boards on the same outlets lose their power too: refused without this where there are any. */
    neighbours: Type.Optional(Type.Literal(true)),
  },
  closed,
);
export type PowerRequest = Static<typeof PowerRequest>;

/** As the PDU says it. */
export const NodePower = Type.Object({
  off: Type.Boolean(),
  /** PDU and outlet: `left 2`. */
  outlets: Type.Array(Type.String()),
  /** Names of the boards that have their power from these outlets alone. */
  neighbours: Type.Array(Type.String()),
});
export type NodePower = Static<typeof NodePower>;

// ---- customers, images, workloads, instances ------------------------------------------------------------------

export const OnSilence = oneOf('stop', 'hold');
export const CustomerSpec = Type.Object(
  {
    name: CustomerName,
    /** What a node that hears no controller does with this customer: `stop` keeps the bound, `hold` gives it up. */
    onSilence: Type.Optional(OnSilence),
    /** Most memory for all of the customer's instances on one node. Default 768 MiB. */
    memoryBytes: Type.Optional(Type.Integer({ minimum: 16 * 2 ** 20, maximum: 2 ** 40 })),
    /** Most processes for all of the customer's instances on one node. Default 512. */
    processes: Type.Optional(Type.Integer({ minimum: 8, maximum: 32_768 })),
  },
  closed,
);
export type CustomerSpec = Static<typeof CustomerSpec>;

export const Customer = Type.Object({
  name: CustomerName,
  onSilence: OnSilence,
  memoryBytes: Type.Integer(),
  processes: Type.Integer(),
  /** Which range of 65,536 user ids its containers run as; never given to another customer. */
  uidBase: Type.Integer(),
  createdAt: Instant,
  /** The standing order that stops it (its own or the one for everything), if any. */
  killedBy: Type.Union([Type.Integer(), Type.Null()]),
  workloads: Type.Integer(),
  instances: Type.Integer(),
  running: Type.Integer(),
});
export type Customer = Static<typeof Customer>;

/** What an OCI image's configuration says about running it. */
export const ImageConfig = Type.Object({
  entrypoint: Type.Array(Type.String()),
  cmd: Type.Array(Type.String()),
  env: Type.Array(Type.String()),
  workingDir: Type.String(),
  /** Numeric or by name of the image's /etc/passwd, resolved at import to `uid:gid`. */
  user: Type.String(),
});
export type ImageConfig = Static<typeof ImageConfig>;

export const Image = Type.Object({
  name: ImageName,
  /** Of the OCI manifest that was imported. */
  digest: Sha256,
  architecture: Type.String(),
  /** The one file a node fetches. */
  squashfs: Type.Object({ sha256: Sha256, sizeBytes: Type.Integer() }),
  config: ImageConfig,
  importedAt: Instant,
});
export type Image = Static<typeof Image>;

/** An import that is under way. */
export const ImageImport = Type.Object({
  name: ImageName,
  /** The operator whose archive it is. */
  by: Type.String(),
  /** `receiving`, `waiting` for its turn, or what its conversion does. */
  doing: Type.String(),
  since: Instant,
});
export type ImageImport = Static<typeof ImageImport>;

/** `GET /v1/images` */
export const Images = Type.Object({ images: Type.Array(Image), imports: Type.Array(ImageImport) });
export type Images = Static<typeof Images>;

const EnvironmentVariables = Type.Record(
  Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }),
  Type.String({ maxLength: 4096 }),
);

/** What a customer wants. `PUT` it again to change it: instances are replaced. */
export const WorkloadSpec = Type.Object(
  {
    image: ImageName,
    replicas: Type.Integer({ minimum: 0, maximum: 10_000, default: 1 }),
    command: Type.Optional(Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 64 })),
    env: Type.Optional(EnvironmentVariables),
    /** A port in the container; each instance gets a port of its node for it. */
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    memoryBytes: Type.Optional(Type.Integer({ minimum: 4 * 2 ** 20, maximum: 2 ** 40 })),
    /** Cores, 0.05 and up. */
    cpu: Type.Optional(Type.Number({ minimum: 0.05, maximum: 256 })),
    processes: Type.Optional(Type.Integer({ minimum: 1, maximum: 32_768 })),
  },
  closed,
);
export type WorkloadSpec = Static<typeof WorkloadSpec>;

export const Workload = Type.Object({
  customer: CustomerName,
  name: WorkloadName,
  image: ImageName,
  replicas: Type.Integer(),
  command: Type.Union([Type.Array(Type.String()), Type.Null()]),
  /** Names only: values may be secrets. */
  env: Type.Array(Type.String()),
  port: Type.Union([Type.Integer(), Type.Null()]),
  memoryBytes: Type.Integer(),
  cpu: Type.Number(),
  processes: Type.Integer(),
  /** Its customer's. */
  onSilence: OnSilence,
  createdAt: Instant,
  running: Type.Integer(),
  /** Of those that run: how many do as it was last changed. A change is through when all do and no other is left. */
  updated: Type.Integer(),
  /** What keeps it from running as wanted, in words; empty when nothing does. */
  problem: Type.String(),
});
export type Workload = Static<typeof Workload>;

/** As the node sees it. `stopped` says why in `reason`: killed, silence, exited, removed. */
export const instanceStates = ['placed', 'fetching', 'starting', 'running', 'exited', 'stopped', 'failed'] as const;
export type InstanceState = (typeof instanceStates)[number];

export const Instance = Type.Object({
  id: InstanceId,
  customer: CustomerName,
  workload: WorkloadName,
  node: MacAddress,
  nodeName: Type.String(),
  state: oneOf(...instanceStates),
  reason: Type.String(),
  since: Instant,
  restarts: Type.Integer(),
  /** Where its port can be reached, `http://10.77.0.51:20000`, or null. */
  endpoint: Type.Union([Type.String(), Type.Null()]),
});
export type Instance = Static<typeof Instance>;

export const LogLine = Type.Object({
  at: Instant,
  instance: InstanceId,
  stream: oneOf('stdout', 'stderr', 'muster'),
  text: Type.String(),
});
export type LogLine = Static<typeof LogLine>;

/** An answer of about a megabyte at most; `before` is where older lines go on, null where there are no more of those wanted. */
export const LogPage = Type.Object({
  lines: Type.Array(LogLine),
  before: Type.Union([Type.Integer(), Type.Null()]),
});
export type LogPage = Static<typeof LogPage>;

// ---- kill ------------------------------------------------------------------------------------------------------

/** Exactly one of `customer` and `everything`. */
export const KillRequest = Type.Object(
  {
    customer: Type.Optional(CustomerName),
    everything: Type.Optional(Type.Literal(true)),
    reason: Type.String({ minLength: 1, maxLength: 500 }),
  },
  closed,
);
export type KillRequest = Static<typeof KillRequest>;
export const LiftRequest = Type.Object(
  {
    customer: Type.Optional(CustomerName),
    everything: Type.Optional(Type.Literal(true)),
    reason: Type.Optional(Type.String({ maxLength: 500 })),
  },
  closed,
);
export type LiftRequest = Static<typeof LiftRequest>;

/**
 * How a node came to count as stopped: `receipt`: it says so, signed. `silence`: it was heard last so long ago that its
 * permits have run out. `ssh`: the controller emptied the control groups itself. `power`: its power is off.
 */
export const evidences = ['receipt', 'silence', 'ssh', 'power'] as const;
export type Evidence = (typeof evidences)[number];

/** What the controller tried on a node that did not confirm, beside its permits. */
export const EscalationStep = Type.Object({
  /** From the stored order, ms. */
  afterMs: Type.Number(),
  by: oneOf('ssh', 'power'),
  outcome: oneOf('tried', 'stopped', 'failed'),
  /** In words: what was asked, or what went wrong. */
  detail: Type.String(),
});
export type EscalationStep = Static<typeof EscalationStep>;

export const KillNode = Type.Object({
  mac: MacAddress,
  name: Type.String(),
  /** null: unconfirmed. */
  evidence: Type.Union([oneOf(...evidences), Type.Null()]),
  /** From the stored order until the first permit that did not list the customer left for this node, ms. */
  sentAfterMs: Type.Union([Type.Number(), Type.Null()]),
  /** The node's own figure: permit in, control group empty. */
  stoppedAfterMs: Type.Union([Type.Number(), Type.Null()]),
  /** From the stored order until the evidence was there (the receipt came in, the silence was long enough, …), ms. */
  confirmedAfterMs: Type.Union([Type.Number(), Type.Null()]),
  /** That were running when the permit arrived. */
  processes: Type.Integer(),
  escalation: Type.Array(EscalationStep),
});
export type KillNode = Static<typeof KillNode>;

export const KillOrder = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  /** A customer's name, or `*` for everything. */
  scope: Type.String(),
  reason: Type.String(),
  /** Who gave it: an operator, or two (`anna, confirmed by ben`), or a part of the controller, as `drill`. */
  by: Type.String(),
  at: Instant,
  /** Stands until lifted. */
  liftedAt: Type.Union([Instant, Type.Null()]),
  liftedBy: Type.Union([Type.String(), Type.Null()]),
  /**
   * False while the order, or its lift, is in the controller's memory only: it is in force and tried again each second, but lost
   * if the controller ends before its disk takes it. A lift of a stored order is not in force before it is stored.
   */
  stored: Type.Boolean(),
  /** Nodes that had to stop it when the order was given, and how many have. */
  nodes: Type.Integer(),
  stopped: Type.Integer(),
  slowestMs: Type.Union([Type.Number(), Type.Null()]),
  /** Names of the nodes that have not confirmed. */
  unconfirmed: Type.Array(Type.String()),
  /** Customers in its scope that hold on silence: on a node that hears no controller no bound holds for them. */
  holding: Type.Array(CustomerName),
});
export type KillOrder = Static<typeof KillOrder>;

export const KillTimeline = Type.Intersect([KillOrder, Type.Object({ timeline: Type.Array(KillNode) })]);
export type KillTimeline = Static<typeof KillTimeline>;

// ---- audit ----------------------------------------------------------------------------------------------------

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

// ---- drills ---------------------------------------------------------------------------------------------------

export const DrillRequest = Type.Object(
  {
    /** Made for the drill and removed after it; refused where a customer of that name has workloads. */
    customer: Type.Optional(CustomerName),
    /** Of the ready nodes, above 0 and at most 1; all when left out. */
    share: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
    /** What the canary runs; Muster's own sample when left out. */
    image: Type.Optional(ImageName),
  },
  closed,
);
export type DrillRequest = Static<typeof DrillRequest>;

export const Drill = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  customer: CustomerName,
  /** `operator`, or `schedule`. */
  by: Type.String(),
  startedAt: Instant,
  endedAt: Type.Union([Instant, Type.Null()]),
  phase: oneOf('deploying', 'killing', 'removing', 'done'),
  /** Of `done`: every node that ran the canary confirmed within the bound, or not; `failed` where it could not be measured. */
  outcome: Type.Union([oneOf('passed', 'late', 'failed'), Type.Null()]),
  /** In words, what kept it from passing; empty when nothing did. */
  problem: Type.String(),
  /** The kill order that measured it. */
  order: Type.Union([Type.Integer(), Type.Null()]),
  /** Nodes that were drawn to run the canary. */
  drawn: Type.Integer(),
  /** Those of them that were drawn and did not run it, each with its reason; they are measured by no figure. */
  leftOut: Type.Array(Type.String()),
  /** Nodes that ran the canary (while it is deployed: that run it by now), and how many of them stopped it. */
  nodes: Type.Integer(),
  stopped: Type.Integer(),
  /** From the stored order to the confirmation, ms. */
  medianMs: Type.Union([Type.Number(), Type.Null()]),
  slowestMs: Type.Union([Type.Number(), Type.Null()]),
  unconfirmed: Type.Array(Type.String()),
});
export type Drill = Static<typeof Drill>;

/** `PUT /v1/drills/schedule`; the first one is due one period after it was put. */
export const DrillSchedule = Type.Object(
  { everySeconds: Type.Integer({ minimum: 3600, maximum: 366 * 86_400 }), request: DrillRequest },
  closed,
);
export type DrillSchedule = Static<typeof DrillSchedule>;

/** The schedule as it stands. */
export const DrillPlan = Type.Object({ everySeconds: Type.Integer(), request: DrillRequest, nextAt: Instant });
export type DrillPlan = Static<typeof DrillPlan>;

export const Drills = Type.Object({
  /** Newest first. */
  drills: Type.Array(Drill),
  schedule: Type.Union([DrillPlan, Type.Null()]),
});
export type Drills = Static<typeof Drills>;

// ---- operators and the two-person rule ------------------------------------------------------------------------

/** `POST /v1/operators` */
export const OperatorSpec = Type.Object({ name: Type.String({ pattern: operatorPattern }) }, closed);
export type OperatorSpec = Static<typeof OperatorSpec>;
export const Operator = Type.Object({ name: Type.String({ pattern: operatorPattern }), createdAt: Instant });
export type Operator = Static<typeof Operator>;
/** The one time that a token is shown. */
export const NewOperator = Type.Intersect([Operator, Type.Object({ token: Type.String() })]);
export type NewOperator = Static<typeof NewOperator>;
/** `GET /v1/whoami`: whose the token is that came with the request. */
export const Whoami = Type.Object({ name: Type.String() });
export type Whoami = Static<typeof Whoami>;

/** Asked for by one operator, waiting for another. Answered with status 202 in the place of what was asked for. */
export const Approval = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  action: oneOf('kill', 'lift'),
  /** A customer's name, or `*`. */
  scope: Type.String(),
  reason: Type.String(),
  by: Type.String(),
  at: Instant,
  expiresAt: Instant,
});
export type Approval = Static<typeof Approval>;

// ---- events, status, stream ------------------------------------------------------------------------------------

export const Event = Type.Object({
  id: Type.Integer(),
  at: Instant,
  /** `node`, `customer`, `workload`, `instance`, `image`, `kill`, `drill`, `boot`, `controller` */
  kind: Type.String(),
  /** What it is about: a MAC, a customer, `acme/web`, an instance's id, an order's number. */
  subject: Type.String(),
  message: Type.String(),
});
export type Event = Static<typeof Event>;

export const Status = Type.Object({
  version: Type.String(),
  startedAt: Instant,
  /** Process start until serving, ms. */
  startupMs: Type.Number(),
  rack: Type.String(),
  nodes: Type.Record(Type.String(), Type.Integer()),
  customers: Type.Integer(),
  instances: Type.Integer(),
  running: Type.Integer(),
  /** Kill orders that stand, without that of a drill under way: a drill is no emergency. */
  standingOrders: Type.Integer(),
  /** What the controller itself is in trouble with, or lost, each in one sentence. */
  problems: Type.Array(Type.String()),
  /** Lifting, and stopping everything, need two different operators. */
  twoPersonRule: Type.Boolean(),
  /** The last one that is over. */
  lastDrill: Type.Union([Drill, Type.Null()]),
  /** Others who answer boards on the rack's segment: there must be none. Left out while there is none. */
  otherServers: Type.Optional(
    Type.Array(Type.Object({ address: Type.String(), kind: oneOf('muster', 'dhcp') }), { maxItems: 16 }),
  ),
});
export type Status = Static<typeof Status>;

/**
 * Server-sent events of `GET /v1/stream`. First one `snapshot`, then each change as it happens:
 *   snapshot {status, nodes, customers, workloads, instances, kills, drills, approvals, events}
 *   node Node · node-removed {mac} · customer Customer · customer-removed {name} · workload Workload · workload-removed {customer, name}
 *   instance Instance · instance-removed {id} · kill KillOrder · drill Drill · approval Approval · approval-removed {id} · event Event · samples {[mac]: Sample} (once a second, changed ones only)
 * A comment line goes out every 15 s. A client that reads too slowly is disconnected and starts again from a snapshot.
 */
export const Snapshot = Type.Object({
  status: Status,
  nodes: Type.Array(Node),
  customers: Type.Array(Customer),
  workloads: Type.Array(Workload),
  instances: Type.Array(Instance),
  kills: Type.Array(KillOrder),
  /** Those that wait. */
  approvals: Type.Array(Approval),
  /** The last 20, newest first. */
  drills: Type.Array(Drill),
  events: Type.Array(Event),
});
export type Snapshot = Static<typeof Snapshot>;

/** Where the copies are, on the controller's machine. */
export const Backup = Type.Object({ directory: Type.String() });

/** Every refusal: what was wrong and what was wanted, in one sentence. */
export const Refusal = Type.Object({ error: Type.String() });
export type Refusal = Static<typeof Refusal>;

// ---- agents ----------------------------------------------------------------------------------------------------

export const JoinRequest = Type.Object(
  {
    mac: MacAddress,
    /** One-time, from the kernel's command line. An agent that restarts within one boot proves its session instead. */
    token: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
    session: Type.Optional(Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{32}$' }), proof: Sha256 }, closed)),
    bootId: Type.String({ minLength: 1, maxLength: 64 }),
    serial: Type.Union([Type.String({ maxLength: 100 }), Type.Null()]),
    agentVersion: Type.String({ maxLength: 100 }),
    sshHostKey: Type.Union([Type.String({ maxLength: 1000 }), Type.Null()]),
    facts: NodeFacts,
  },
  closed,
);
export type JoinRequest = Static<typeof JoinRequest>;

export const JoinAnswer = Type.Object({
  name: Type.String(),
  session: Type.String({ pattern: '^[0-9a-f]{32}$' }),
  /** HMAC key of heartbeats and permits, 32 bytes in hex. */
  key: Sha256,
});
export type JoinAnswer = Static<typeof JoinAnswer>;

export const DesiredCustomer = Type.Object({
  name: CustomerName,
  uidBase: Type.Integer(),
  memoryBytes: Type.Integer(),
  processes: Type.Integer(),
  onSilence: OnSilence,
});
export type DesiredCustomer = Static<typeof DesiredCustomer>;

/** What a container is started with: the image's own words and the workload's. Bounds: `desired-state.ts`. */
export const ContainerConfiguration = Type.Object({
  args: Type.Array(Type.String()),
  env: Type.Array(Type.String()),
  workingDir: Type.String(),
});
export type ContainerConfiguration = Static<typeof ContainerConfiguration>;

export const DesiredInstance = Type.Object({
  id: InstanceId,
  customer: CustomerName,
  workload: WorkloadName,
  squashfs: Type.Object({ sha256: Sha256, sizeBytes: Type.Integer() }),
  /** The sha256 of its `ContainerConfiguration`, which is fetched by it. */
  configuration: Sha256,
  uid: Type.Integer(),
  gid: Type.Integer(),
  memoryBytes: Type.Integer(),
  cpu: Type.Number(),
  processes: Type.Integer(),
  /** Container's port and the node's port that leads to it. */
  port: Type.Union([Type.Object({ container: Type.Integer(), node: Type.Integer() }), Type.Null()]),
});
export type DesiredInstance = Static<typeof DesiredInstance>;

/** What should be on a node, in at most `desiredLimitBytes`. Instances of killed customers are not listed. */
export const Desired = Type.Object({
  generation: Type.Integer(),
  customers: Type.Array(DesiredCustomer),
  instances: Type.Array(DesiredInstance, { maxItems: instancesPerNodeLimit }),
});
export type Desired = Static<typeof Desired>;

export const InstanceReport = Type.Object(
  {
    id: InstanceId,
    state: oneOf(...instanceStates),
    reason: Type.String({ maxLength: 500 }),
    restarts: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type InstanceReport = Static<typeof InstanceReport>;

/** Sent when something changed, and every few seconds for the sample. `instances` is always the whole list. */
export const Report = Type.Object(
  {
    generation: Type.Integer({ minimum: 0 }),
    instances: Type.Array(InstanceReport, { maxItems: reportedInstancesLimit }),
    sample: Type.Union([Sample, Type.Null()]),
    /** Once a boot, as soon as they are known: a join does not wait for them. */
    facts: Type.Union([NodeFacts, Type.Null()]),
    /** `at` by the node's wall clock is not trusted: ms before this report was sent. */
    logs: Type.Array(
      Type.Object(
        {
          agoMs: Type.Number(),
          instance: InstanceId,
          stream: oneOf('stdout', 'stderr', 'muster'),
          text: Type.String({ maxLength: 4096 }),
        },
        closed,
      ),
      { maxItems: 1000 },
    ),
  },
  closed,
);
export type Report = Static<typeof Report>;

/**
 * Over TLS, authorised by `Authorization: Muster <session id>:<hex of HMAC-SHA256(key, "<METHOD> <path>")>` (see `agent-authorization.ts`), but for join.
 *   POST /v1/join                        JoinRequest → JoinAnswer
 *   GET  /v1/nodes/:mac/desired          → Desired
 *   GET  /v1/nodes/:mac/configurations/:sha256   → ContainerConfiguration, of an instance that is placed there
 *   POST /v1/nodes/:mac/report           Report → {}
 *   GET  /v1/squashfs/:sha256            → the customer image's bytes
 */
export const agentRoutes = [
  '/v1/join',
  '/v1/nodes/:mac/desired',
  '/v1/nodes/:mac/configurations/:sha256',
  '/v1/nodes/:mac/report',
  '/v1/squashfs/:sha256',
] as const;
