import { Type, type Static } from 'typebox';
import { CustomerName, ImageName, Instant, closed, oneOf } from './fields.ts';

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
