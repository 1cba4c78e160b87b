import { Type, type Static } from 'typebox';
import { Approval } from './approvals.ts';
import type { Routes } from './route.ts';
import {
  CustomerName,
  Instant,
  MacAddress,
  Next,
  Nothing,
  NumberText,
  closed,
  oneOf,
  pageQuery,
  told,
} from './fields.ts';

export const KillRequest = Type.Object(
  {
    customer: Type.Optional(CustomerName),
    everything: Type.Optional(Type.Literal(true)),
    reason: Type.String({ minLength: 1, maxLength: 500 }),
  },
  { ...closed, title: 'KillRequest', description: 'Exactly one of `customer` and `everything`.' },
);
export type KillRequest = Static<typeof KillRequest>;
export const LiftRequest = Type.Object(
  {
    customer: Type.Optional(CustomerName),
    everything: Type.Optional(Type.Literal(true)),
    reason: Type.Optional(Type.String({ maxLength: 500 })),
  },
  { ...closed, title: 'LiftRequest' },
);
export type LiftRequest = Static<typeof LiftRequest>;

/**
 * How a node came to count as stopped: `receipt`: it says so, signed. `silence`: it was heard last so long ago that its
 * permits have run out. `ssh`: the controller emptied the control groups itself. `power`: its power is off.
 */
export const evidences = ['receipt', 'silence', 'ssh', 'power'] as const;
export type Evidence = (typeof evidences)[number];

export const EscalationStep = Type.Object(
  {
    afterMs: told('From the stored order, ms.', Type.Number()),
    by: oneOf('ssh', 'power'),
    outcome: oneOf('tried', 'stopped', 'failed'),
    detail: told('In words: what was asked, or what went wrong.', Type.String()),
  },
  {
    title: 'EscalationStep',
    description: 'What the controller tried on a node that did not acknowledge, beside its permits.',
  },
);
export type EscalationStep = Static<typeof EscalationStep>;

export const KillNode = Type.Object(
  {
    mac: MacAddress,
    name: Type.String(),
    evidence: told(
      'That the node has stopped it; null where there is none.',
      Type.Union([oneOf(...evidences), Type.Null()]),
    ),
    sentAfterMs: told(
      'From the stored order until the first permit that did not list the customer left for this node, ms.',
      Type.Union([Type.Number(), Type.Null()]),
    ),
    stoppedAfterMs: told(
      'The node’s own figure: permit in, control group empty.',
      Type.Union([Type.Number(), Type.Null()]),
    ),
    evidenceAfterMs: told(
      'From the stored order until the evidence was there (the receipt came in, the silence was long enough, …), ms.',
      Type.Union([Type.Number(), Type.Null()]),
    ),
    processes: told('That were running when the permit arrived.', Type.Integer()),
    escalation: Type.Array(EscalationStep),
  },
  { title: 'KillNode' },
);
export type KillNode = Static<typeof KillNode>;

export const KillOrder = Type.Object(
  {
    number: Type.Integer({ minimum: 1 }),
    scope: told('A customer’s name, or `*` for everything.', Type.String()),
    reason: Type.String(),
    by: told(
      'Who gave it: an operator, or two (`anna, approved by ben`), or a part of the controller, as `drill`.',
      Type.String(),
    ),
    at: Instant,
    liftedAt: told('Stands until lifted.', Type.Union([Instant, Type.Null()])),
    liftedBy: Type.Union([Type.String(), Type.Null()]),
    stored: told(
      'False while the order, or its lift, is in the controller’s memory only: it is in force and tried again each second, but lost if the controller ends before its disk takes it. A lift of a stored order is not in force before it is stored.',
      Type.Boolean(),
    ),
    nodes: told('Nodes that had to stop it when the order was given, and how many have.', Type.Integer()),
    stopped: Type.Integer(),
    slowestMs: Type.Union([Type.Number(), Type.Null()]),
    unacknowledged: told('Names of the nodes without evidence that they have stopped.', Type.Array(Type.String())),
    holding: told(
      'Customers in its scope that hold on silence: on a node that hears no controller no bound holds for them.',
      Type.Array(CustomerName),
    ),
  },
  { title: 'KillOrder' },
);
export type KillOrder = Static<typeof KillOrder>;

export const KillTimeline = Type.Intersect([KillOrder, Type.Object({ timeline: Type.Array(KillNode) })], {
  title: 'KillTimeline',
});
export type KillTimeline = Static<typeof KillTimeline>;

const OrderParams = Type.Object({ number: NumberText });

export const orderRoutes = {
  kill: {
    method: 'POST',
    path: '/v1/kill',
    summary: 'Stop a customer, or everything',
    description:
      '201: in force and stored. 202: in force, and not stored yet (`stored` is false); or, under the two-person rule, an approval request that waits for a second operator.',
    tag: 'orders',
    security: 'operator',
    access: 'stop',
    schema: { body: KillRequest, response: { 201: KillOrder, 202: Type.Union([Approval, KillOrder]) } },
  },
  lift: {
    method: 'POST',
    path: '/v1/lift',
    summary: 'Let a customer, or everything, run again',
    description: '202 as for a kill.',
    tag: 'orders',
    security: 'operator',
    schema: { body: LiftRequest, response: { 200: KillOrder, 202: Type.Union([Approval, KillOrder]) } },
  },
  listOrders: {
    method: 'GET',
    path: '/v1/kill',
    summary: 'All kill orders, by number',
    tag: 'orders',
    security: 'operator',
    schema: {
      querystring: Type.Object(pageQuery, closed),
      response: { 200: Type.Object({ orders: Type.Array(KillOrder), next: Next }) },
    },
  },
  getOrder: {
    method: 'GET',
    path: '/v1/kill/:number',
    summary: 'One kill order, node by node',
    tag: 'orders',
    security: 'operator',
    schema: { params: OrderParams, response: { 200: KillTimeline } },
  },
  getOrderReport: {
    method: 'GET',
    path: '/v1/kill/:number/report',
    summary: 'The printable report on a kill order',
    tag: 'audit',
    security: 'operator',
    schema: { params: OrderParams },
    produces: 'text/html',
  },
} as const satisfies Routes;

const ApprovalParams = Type.Object({ id: NumberText });

export const approvalRoutes = {
  listApprovals: {
    method: 'GET',
    path: '/v1/approvals',
    summary: 'What waits for a second operator',
    tag: 'orders',
    security: 'operator',
    schema: {
      querystring: Type.Object(pageQuery, closed),
      response: { 200: Type.Object({ approvals: Type.Array(Approval), next: Next }) },
    },
  },
  approve: {
    method: 'POST',
    path: '/v1/approvals/:id',
    summary: 'Approve, as the second operator',
    description: '201 for a kill, 200 for a lift, 202 where it is in force and not stored yet.',
    tag: 'orders',
    security: 'operator',
    access: 'stop',
    schema: { params: ApprovalParams, response: { 200: KillOrder, 201: KillOrder, 202: KillOrder } },
  },
  withdrawApproval: {
    method: 'DELETE',
    path: '/v1/approvals/:id',
    summary: 'Withdraw an approval request',
    tag: 'orders',
    security: 'operator',
    schema: { params: ApprovalParams, response: { 200: Nothing } },
  },
} as const satisfies Routes;
