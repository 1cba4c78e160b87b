import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import { Drill } from './drills.ts';
import { Instant, oneOf, told } from './fields.ts';

export const Status = Type.Object(
  {
    version: Type.String(),
    startedAt: Instant,
    startupMs: told('Process start until serving, ms.', Type.Number()),
    rack: Type.String(),
    nodes: Type.Record(Type.String(), Type.Integer()),
    customers: Type.Integer(),
    instances: Type.Integer(),
    running: Type.Integer(),
    standingOrders: told(
      'Kill orders that stand, without that of a drill under way: a drill is no emergency.',
      Type.Integer(),
    ),
    problems: told(
      'What the controller itself is in trouble with, or lost, each in one sentence.',
      Type.Array(Type.String()),
    ),
    twoPersonRule: told('Lifting, and stopping everything, need two different operators.', Type.Boolean()),
    lastDrill: told('The last one that is over.', Type.Union([Drill, Type.Null()])),
    otherServers: Type.Optional(
      told(
        'Others who answer boards on the rack’s segment: there must be none. Left out while there is none.',
        Type.Array(Type.Object({ address: Type.String(), kind: oneOf('muster', 'dhcp') }), { maxItems: 16 }),
      ),
    ),
  },
  { title: 'Status' },
);
export type Status = Static<typeof Status>;

export const Backup = Type.Object(
  { directory: Type.String() },
  { title: 'Backup', description: 'Where the copies are, on the controller’s machine.' },
);

export const statusRoutes = {
  getHealth: {
    method: 'GET',
    path: '/healthz',
    summary: 'Whether the controller lives',
    tag: 'rack',
    security: 'none',
    schema: { response: { 200: Type.Object({ ok: Type.Boolean() }) } },
  },
  getMetrics: {
    method: 'GET',
    path: '/metrics',
    summary: 'Metrics in the Prometheus text format',
    tag: 'rack',
    security: 'operator',
    schema: {},
    produces: 'text/plain',
  },
  getStatus: {
    method: 'GET',
    path: '/v1/status',
    summary: 'How the rack is, in figures',
    tag: 'rack',
    security: 'operator',
    schema: { response: { 200: Status } },
  },
  backUp: {
    method: 'POST',
    path: '/v1/backup',
    summary: 'Make a backup while the controller runs',
    description: 'For root alone: it holds every key.',
    tag: 'rack',
    security: 'operator',
    schema: { response: { 201: Backup } },
    problems: ['forbidden'],
  },
} as const satisfies Routes;

export const referenceRoutes = {
  getOpenApi: {
    method: 'GET',
    path: '/openapi.json',
    summary: 'This description, in OpenAPI 3.1',
    tag: 'rack',
    security: 'none',
    schema: {},
    produces: 'application/json',
  },
  getReference: {
    method: 'GET',
    path: '/reference',
    summary: 'This description, to be read',
    tag: 'rack',
    security: 'none',
    schema: {},
    produces: 'text/html',
  },
} as const satisfies Routes;
