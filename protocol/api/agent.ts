import { Type, type Static } from 'typebox';
import { instancesPerNodeLimit, reportedInstancesLimit } from '../desired-state.ts';
import { OnSilence } from './customers.ts';
import { CustomerName, InstanceId, MacAddress, Sha256, WorkloadName, closed, oneOf } from './fields.ts';
import { instanceStates } from './instances.ts';
import { NodeFacts } from './nodes.ts';
import { Sample } from './samples.ts';

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
