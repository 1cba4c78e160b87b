import { Type, type Static } from 'typebox';
import { CustomerName, Instant, MacAddress, closed, oneOf } from './fields.ts';

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
