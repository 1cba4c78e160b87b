import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import { instancesPerNodeLimit, reportedInstancesLimit } from '../desired-state.ts';
import { OnSilence } from './customers.ts';
import { CustomerName, InstanceId, MacAddress, Nothing, Sha256, WorkloadName, closed, oneOf, told } from './fields.ts';
import { ContainerConfiguration, instanceStates } from './instances.ts';
import { NodeFacts } from './nodes.ts';
import { Sample } from './samples.ts';

export const JoinRequest = Type.Object(
  {
    mac: MacAddress,
    token: Type.Optional(
      told(
        'One-time, from the kernel’s command line. An agent that restarts within one boot proves its session instead.',
        Type.String({ pattern: '^[0-9a-f]{64}$' }),
      ),
    ),
    session: Type.Optional(Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{32}$' }), proof: Sha256 }, closed)),
    bootId: Type.String({ minLength: 1, maxLength: 64 }),
    serial: Type.Union([Type.String({ maxLength: 100 }), Type.Null()]),
    agentVersion: Type.String({ maxLength: 100 }),
    sshHostKey: Type.Union([Type.String({ maxLength: 1000 }), Type.Null()]),
    facts: NodeFacts,
  },
  { ...closed, title: 'JoinRequest' },
);
export type JoinRequest = Static<typeof JoinRequest>;

export const JoinAnswer = Type.Object(
  {
    name: Type.String(),
    session: Type.String({ pattern: '^[0-9a-f]{32}$' }),
    key: told('HMAC key of heartbeats and permits, 32 bytes in hex.', Sha256),
  },
  { title: 'JoinAnswer' },
);
export type JoinAnswer = Static<typeof JoinAnswer>;

export const DesiredCustomer = Type.Object(
  {
    name: CustomerName,
    uidBase: Type.Integer(),
    memoryBytes: Type.Integer(),
    processes: Type.Integer(),
    onSilence: OnSilence,
  },
  { title: 'DesiredCustomer' },
);
export type DesiredCustomer = Static<typeof DesiredCustomer>;

export const DesiredInstance = Type.Object(
  {
    id: InstanceId,
    customer: CustomerName,
    workload: WorkloadName,
    squashfs: Type.Object({ sha256: Sha256, sizeBytes: Type.Integer() }),
    configuration: told('The sha256 of its `ContainerConfiguration`, which is fetched by it.', Sha256),
    // Of one that was placed before its configuration named a user.
    uid: Type.Optional(Type.Integer()),
    gid: Type.Optional(Type.Integer()),
    memoryBytes: Type.Integer(),
    cpu: Type.Number(),
    processes: Type.Integer(),
    port: told(
      'Container’s port and the node’s port that leads to it.',
      Type.Union([Type.Object({ container: Type.Integer(), node: Type.Integer() }), Type.Null()]),
    ),
  },
  { title: 'DesiredInstance' },
);
export type DesiredInstance = Static<typeof DesiredInstance>;

export const Desired = Type.Object(
  {
    generation: Type.Integer(),
    customers: Type.Array(DesiredCustomer),
    instances: Type.Array(DesiredInstance, { maxItems: instancesPerNodeLimit }),
  },
  {
    title: 'Desired',
    description:
      'What should be on a node, in at most `desiredLimitBytes`. Instances of killed customers are not listed.',
  },
);
export type Desired = Static<typeof Desired>;

export const InstanceReport = Type.Object(
  {
    id: InstanceId,
    state: oneOf(...instanceStates),
    reason: Type.String({ maxLength: 500 }),
    ready: Type.Optional(told('It runs and its checks hold; as `running` where left out.', Type.Boolean())),
    restarts: Type.Integer({ minimum: 0 }),
  },
  { ...closed, title: 'InstanceReport' },
);
export type InstanceReport = Static<typeof InstanceReport>;

export const Report = Type.Object(
  {
    generation: Type.Integer({ minimum: 0 }),
    instances: Type.Array(InstanceReport, { maxItems: reportedInstancesLimit }),
    sample: Type.Union([Sample, Type.Null()]),
    facts: told(
      'Once a boot, as soon as they are known: a join does not wait for them.',
      Type.Union([NodeFacts, Type.Null()]),
    ),
    logs: told(
      '`at` by the node’s wall clock is not trusted: ms before this report was sent.',
      Type.Array(
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
    ),
  },
  {
    ...closed,
    title: 'Report',
    description:
      'Sent when something changed, and every few seconds for the sample. `instances` is always the whole list.',
  },
);
export type Report = Static<typeof Report>;

const MacParams = Type.Object({ mac: MacAddress });

/**
 * Over TLS, authorised by `Authorization: Muster <session id>:<hex of HMAC-SHA256(key, "<METHOD> <path>")>` (see
 * `agent-authorization.ts`), but for join.
 */
export const agentRoutes = {
  join: {
    method: 'POST',
    path: '/v1/join',
    summary: 'Join the rack, with the one-time token of this boot',
    tag: 'agents',
    security: 'none',
    schema: { body: JoinRequest, response: { 200: JoinAnswer } },
    problems: ['join-refused'],
  },
  getDesired: {
    method: 'GET',
    path: '/v1/nodes/:mac/desired',
    summary: 'What should be on the node',
    tag: 'agents',
    security: 'agent',
    schema: { params: MacParams, response: { 200: Desired } },
    problems: ['forbidden'],
  },
  getConfiguration: {
    method: 'GET',
    path: '/v1/nodes/:mac/configurations/:sha256',
    summary: 'A configuration of an instance that is placed on the node, as the bytes that were hashed',
    tag: 'agents',
    security: 'agent',
    schema: { params: Type.Object({ mac: MacAddress, sha256: Sha256 }) },
    produces: 'application/json',
    contents: ContainerConfiguration,
    problems: ['forbidden', 'conflict'],
  },
  report: {
    method: 'POST',
    path: '/v1/nodes/:mac/report',
    summary: 'What is on the node, its sample and its log lines',
    tag: 'agents',
    security: 'agent',
    schema: { params: MacParams, body: Report, response: { 200: Nothing } },
    problems: ['forbidden'],
  },
  getSquashfs: {
    method: 'GET',
    path: '/v1/squashfs/:sha256',
    summary: 'A customer image',
    tag: 'agents',
    security: 'agent',
    schema: { params: Type.Object({ sha256: Sha256 }) },
    produces: 'application/octet-stream',
  },
} as const satisfies Routes;
