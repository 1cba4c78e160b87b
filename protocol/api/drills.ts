import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import {
  CustomerName,
  ImageName,
  Instant,
  Next,
  Nothing,
  NumberText,
  closed,
  oneOf,
  pageQuery,
  told,
} from './fields.ts';

export const DrillRequest = Type.Object(
  {
    customer: Type.Optional(
      told(
        'Made for the drill and removed after it; refused where a customer of that name has workloads.',
        CustomerName,
      ),
    ),
    share: Type.Optional(
      told(
        'Of the ready nodes, above 0 and at most 1; all when left out.',
        Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
      ),
    ),
    image: Type.Optional(told('What the canary runs; Muster’s own sample when left out.', ImageName)),
  },
  { ...closed, title: 'DrillRequest' },
);
export type DrillRequest = Static<typeof DrillRequest>;

export const Drill = Type.Object(
  {
    number: Type.Integer({ minimum: 1 }),
    customer: CustomerName,
    by: told('`operator`, or `schedule`.', Type.String()),
    startedAt: Instant,
    endedAt: Type.Union([Instant, Type.Null()]),
    phase: oneOf('deploying', 'killing', 'removing', 'done'),
    outcome: told(
      'Of `done`: every node that ran the canary acknowledged within the bound, or not; `failed` where it could not be measured.',
      Type.Union([oneOf('passed', 'late', 'failed'), Type.Null()]),
    ),
    problem: told('In words, what kept it from passing; empty when nothing did.', Type.String()),
    order: told('The kill order that measured it.', Type.Union([Type.Integer(), Type.Null()])),
    drawn: told('Nodes that were drawn to run the canary.', Type.Integer()),
    leftOut: told(
      'Those of them that were drawn and did not run it, each with its reason; they are measured by no figure.',
      Type.Array(Type.String()),
    ),
    nodes: told(
      'Nodes that ran the canary (while it is deployed: that run it by now), and how many of them stopped it.',
      Type.Integer(),
    ),
    stopped: Type.Integer(),
    medianMs: told('From the stored order to the evidence, ms.', Type.Union([Type.Number(), Type.Null()])),
    slowestMs: Type.Union([Type.Number(), Type.Null()]),
    unacknowledged: Type.Array(Type.String()),
  },
  { title: 'Drill' },
);
export type Drill = Static<typeof Drill>;

export const DrillSchedule = Type.Object(
  { everySeconds: Type.Integer({ minimum: 3600, maximum: 366 * 86_400 }), request: DrillRequest },
  {
    ...closed,
    title: 'DrillSchedule',
    description: 'The first one is due one period after it was put.',
  },
);
export type DrillSchedule = Static<typeof DrillSchedule>;

export const DrillPlan = Type.Object(
  { everySeconds: Type.Integer(), request: DrillRequest, nextAt: Instant },
  { title: 'DrillPlan', description: 'The schedule as it stands.' },
);
export type DrillPlan = Static<typeof DrillPlan>;

export const Drills = Type.Object(
  {
    drills: told('Newest first.', Type.Array(Drill)),
    schedule: Type.Union([DrillPlan, Type.Null()]),
    next: Next,
  },
  { title: 'Drills' },
);
export type Drills = Static<typeof Drills>;

export const drillRoutes = {
  startDrill: {
    method: 'POST',
    path: '/v1/drills',
    summary: 'Start a drill',
    tag: 'drills',
    security: 'operator',
    schema: { body: DrillRequest, response: { 202: Drill } },
    problems: ['unavailable'],
  },
  listDrills: {
    method: 'GET',
    path: '/v1/drills',
    summary: 'All drills, newest first, and the schedule',
    tag: 'drills',
    security: 'operator',
    schema: { querystring: Type.Object(pageQuery, closed), response: { 200: Drills } },
  },
  getDrill: {
    method: 'GET',
    path: '/v1/drills/:number',
    summary: 'One drill',
    tag: 'drills',
    security: 'operator',
    schema: { params: Type.Object({ number: NumberText }), response: { 200: Drill } },
  },
  putDrillSchedule: {
    method: 'PUT',
    path: '/v1/drills/schedule',
    summary: 'Drill by itself from now on',
    tag: 'drills',
    security: 'operator',
    schema: { body: DrillSchedule, response: { 200: DrillPlan } },
  },
  removeDrillSchedule: {
    method: 'DELETE',
    path: '/v1/drills/schedule',
    summary: 'Drill by itself no more',
    tag: 'drills',
    security: 'operator',
    schema: { response: { 200: Nothing } },
  },
} as const satisfies Routes;
