import { Type, type Static } from 'typebox';
import { LabelName, LabelValue } from '../workload/placement-schema.ts';
import type { Routes } from './route.ts';
import { nodeNamePattern } from '../names.ts';
import { CustomerName, Instant, MacAddress, Next, Nothing, closed, oneOf, pageQuery, told } from './fields.ts';
import { Sample } from './samples.ts';

/** What each state waits for is told in `inventory/nodes/life-cycle.ts`. */
export const nodeStates = ['seen', 'loading', 'joining', 'ready', 'silent', 'lost'] as const;
export type NodeState = (typeof nodeStates)[number];

/** What an operator wants of a node: it gets instances; keeps those that it has and gets no more; gives them away. */
export const nodePlacements = ['open', 'cordoned', 'draining'] as const;
export type NodePlacement = (typeof nodePlacements)[number];

// A board sends these, and they are kept: closed, so that it cannot have anything else kept.
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
  {
    ...closed,
    title: 'NodeFacts',
    description: 'What the agent finds out once, at join, with `systeminformation`.',
  },
);
export type NodeFacts = Static<typeof NodeFacts>;

export const Node = Type.Object(
  {
    mac: MacAddress,
    name: told(
      'Operators may rename it; `node-<last three bytes>` until then.',
      Type.String({ pattern: nodeNamePattern }),
    ),
    slot: told(
      'Place in the rack, 1 to 684 and up; the lowest free one until an operator says otherwise.',
      Type.Integer({ minimum: 1 }),
    ),
    state: oneOf(...nodeStates),
    since: told('When it entered the state, and why.', Instant),
    reason: Type.String(),
    stage: told(
      'How far the boot has come: `dhcp`, `tftp`, `script`, `kernel`, `initrd`, `root`, `joined`, …',
      Type.String(),
    ),
    firmware: Type.Union([oneOf('uboot', 'uefi', 'uefi-http'), Type.Null()]),
    ip: Type.Union([Type.String(), Type.Null()]),
    bootId: Type.Union([Type.String(), Type.Null()]),
    serial: Type.Union([Type.String(), Type.Null()]),
    fenced: told('An operator keeps it out: it gets no kernel, no workloads and no permits.', Type.Boolean()),
    placement: told(
      '`open`: it gets instances. `cordoned`: it keeps its own and gets no more. `draining`: its own are replaced elsewhere.',
      oneOf(...nodePlacements),
    ),
    labels: told('An operator’s own, and `node`, `model` and `cores`.', Type.Record(Type.String(), Type.String())),
    lastHeartbeatAt: Type.Union([Instant, Type.Null()]),
    bootDurationMs: told('Ready to work, from its first DHCP packet, ms.', Type.Union([Type.Integer(), Type.Null()])),
    instances: Type.Integer(),
    customers: Type.Array(CustomerName),
    facts: Type.Union([NodeFacts, Type.Null()]),
    sample: Type.Union([Sample, Type.Null()]),
  },
  { title: 'Node' },
);
export type Node = Static<typeof Node>;

export const NodePatch = Type.Partial(
  Type.Object({
    name: Type.String({ pattern: nodeNamePattern }),
    slot: Type.Integer({ minimum: 1, maximum: 4_096 }),
    fenced: Type.Boolean(),
    placement: oneOf(...nodePlacements),
    labels: told(
      'Label by label; null takes one away.',
      Type.Record(LabelName, Type.Union([LabelValue, Type.Null()]), { maxProperties: 64 }),
    ),
  }),
  { ...closed, minProperties: 1, title: 'NodePatch' },
);
export type NodePatch = Static<typeof NodePatch>;

export const Diagnosis = Type.Record(Type.String(), Type.String(), {
  title: 'Diagnosis',
  description: 'What a board answers by SSH, by question: `kernel`, `processes`, …',
});
export type Diagnosis = Static<typeof Diagnosis>;

export const PowerRequest = Type.Object(
  {
    state: oneOf('on', 'off'),
    neighbours: Type.Optional(
      told(
        'Other boards on the same outlets lose their power too: refused without this where there are any.',
        Type.Literal(true),
      ),
    ),
  },
  { ...closed, title: 'PowerRequest' },
);
export type PowerRequest = Static<typeof PowerRequest>;

export const NodePower = Type.Object(
  {
    off: Type.Boolean(),
    outlets: told('PDU and outlet: `left 2`.', Type.Array(Type.String())),
    neighbours: told('Names of the boards that have their power from these outlets alone.', Type.Array(Type.String())),
  },
  { title: 'NodePower', description: 'As the PDU says it.' },
);
export type NodePower = Static<typeof NodePower>;

const NodeParams = Type.Object({
  node: told('Its name or its MAC address.', Type.String({ minLength: 1, maxLength: 64 })),
});

export const nodeRoutes = {
  listNodes: {
    method: 'GET',
    path: '/v1/nodes',
    summary: 'All nodes, by MAC address',
    tag: 'nodes',
    security: 'operator',
    schema: {
      querystring: Type.Object(pageQuery, closed),
      response: { 200: Type.Object({ nodes: Type.Array(Node), next: Next }) },
    },
  },
  getNode: {
    method: 'GET',
    path: '/v1/nodes/:node',
    summary: 'One node',
    tag: 'nodes',
    security: 'operator',
    schema: { params: NodeParams, response: { 200: Node } },
    versioned: true,
  },
  changeNode: {
    method: 'PATCH',
    path: '/v1/nodes/:node',
    summary: 'Rename, move, fence, cordon, drain or label a node',
    description: 'What is left out stays. A fenced node stops everything at once.',
    tag: 'nodes',
    security: 'operator',
    schema: { params: NodeParams, body: NodePatch, response: { 200: Node } },
    versioned: true,
  },
  removeNode: {
    method: 'DELETE',
    path: '/v1/nodes/:node',
    summary: 'Forget a node that is gone',
    description: 'Refused while it is ready.',
    tag: 'nodes',
    security: 'operator',
    schema: { params: NodeParams, response: { 200: Nothing } },
    versioned: true,
  },
  diagnoseNode: {
    method: 'GET',
    path: '/v1/nodes/:node/diagnosis',
    summary: 'Ask a board by SSH how it is',
    tag: 'nodes',
    security: 'operator',
    schema: { params: NodeParams, response: { 200: Diagnosis } },
    problems: ['conflict', 'upstream-failed', 'unavailable'],
  },
  rebootNode: {
    method: 'POST',
    path: '/v1/nodes/:node/reboot',
    summary: 'Start a board again, by SSH',
    tag: 'nodes',
    security: 'operator',
    schema: { params: NodeParams, response: { 200: Nothing } },
    problems: ['upstream-failed', 'unavailable'],
  },
  getNodePower: {
    method: 'GET',
    path: '/v1/nodes/:node/power',
    summary: 'What the PDU says about a board',
    tag: 'nodes',
    security: 'operator',
    schema: { params: NodeParams, response: { 200: NodePower } },
    problems: ['conflict', 'upstream-failed'],
  },
  switchNodePower: {
    method: 'POST',
    path: '/v1/nodes/:node/power',
    summary: 'Switch a board on or off',
    tag: 'nodes',
    security: 'operator',
    schema: { params: NodeParams, body: PowerRequest, response: { 200: NodePower } },
    problems: ['upstream-failed'],
  },
} as const satisfies Routes;
