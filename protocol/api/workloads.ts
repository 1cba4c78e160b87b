import { Type, type Static } from 'typebox';
import { containerCapabilities } from '../container/capabilities.ts';
import { longestStopGraceMs, stopSignalPattern } from '../container/stop-signal.ts';
import type { Routes } from './route.ts';
import { OnSilence } from './customers.ts';
import {
  CustomerName,
  ImageName,
  Instant,
  Next,
  Nothing,
  WorkloadName,
  closed,
  oneOf,
  pageQuery,
  told,
} from './fields.ts';

const VariableName = Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' });
const VariableValue = Type.String({ maxLength: 4096 });

export const WorkloadSpec = Type.Object(
  {
    image: ImageName,
    replicas: Type.Integer({ minimum: 0, maximum: 10_000, default: 1 }),
    command: Type.Optional(Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 64 })),
    env: Type.Optional(Type.Record(VariableName, VariableValue)),
    port: Type.Optional(
      told(
        'A port in the container; each instance gets a port of its node for it.',
        Type.Integer({ minimum: 1, maximum: 65_535 }),
      ),
    ),
    memoryBytes: Type.Optional(Type.Integer({ minimum: 4 * 2 ** 20, maximum: 2 ** 40 })),
    cpu: Type.Optional(told('Cores, 0.05 and up.', Type.Number({ minimum: 0.05, maximum: 256 }))),
    processes: Type.Optional(Type.Integer({ minimum: 1, maximum: 32_768 })),
    user: Type.Optional(
      told(
        'Whom it runs as, instead of the image’s: `user` or `user:group`, by number or by name of the image’s /etc/passwd.',
        Type.String({ pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?$' }),
      ),
    ),
    capabilities: Type.Optional(
      told(
        'What its root may do, inside its customer’s user namespace alone. An empty list: nothing. Left out: all of them.',
        Type.Array(oneOf(...containerCapabilities), { maxItems: containerCapabilities.length, uniqueItems: true }),
      ),
    ),
    stopSignal: Type.Optional(
      told('What asks it to end, instead of the image’s or SIGTERM.', Type.String({ pattern: stopSignalPattern })),
    ),
    stopGraceMs: Type.Optional(
      told(
        'How long it has to end by itself when it is removed or replaced. A kill order never waits.',
        Type.Integer({ minimum: 0, maximum: longestStopGraceMs }),
      ),
    ),
  },
  {
    ...closed,
    title: 'WorkloadSpec',
    description: 'What a customer wants. `PUT` it again to change it: instances are replaced.',
  },
);
export type WorkloadSpec = Static<typeof WorkloadSpec>;

const { image, command, port, memoryBytes, cpu, processes, user, capabilities, stopSignal, stopGraceMs } =
  WorkloadSpec.properties;
const Removal = Type.Null();

export const WorkloadPatch = Type.Object(
  {
    image: Type.Optional(image),
    // Without the default that a new workload has.
    replicas: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    command: Type.Optional(told('Null: the image’s own.', Type.Union([command, Removal]))),
    env: Type.Optional(
      told(
        'Variable by variable: null takes one away, and null instead of all takes all away.',
        Type.Union([Type.Record(VariableName, Type.Union([VariableValue, Removal])), Removal]),
      ),
    ),
    port: Type.Optional(Type.Union([port, Removal])),
    // Null, here and below: the default.
    memoryBytes: Type.Optional(Type.Union([memoryBytes, Removal])),
    cpu: Type.Optional(Type.Union([cpu, Removal])),
    processes: Type.Optional(Type.Union([processes, Removal])),
    user: Type.Optional(Type.Union([user, Removal])),
    capabilities: Type.Optional(Type.Union([capabilities, Removal])),
    stopSignal: Type.Optional(Type.Union([stopSignal, Removal])),
    stopGraceMs: Type.Optional(Type.Union([stopGraceMs, Removal])),
  },
  { ...closed, title: 'WorkloadPatch', description: 'A merge patch: what it leaves out stays, null takes away.' },
);
export type WorkloadPatch = Static<typeof WorkloadPatch>;

export const Workload = Type.Object(
  {
    customer: CustomerName,
    name: WorkloadName,
    image: ImageName,
    replicas: Type.Integer(),
    command: Type.Union([Type.Array(Type.String()), Type.Null()]),
    env: told('Names only: values may be secrets.', Type.Array(Type.String())),
    port: Type.Union([Type.Integer(), Type.Null()]),
    memoryBytes: Type.Integer(),
    cpu: Type.Number(),
    processes: Type.Integer(),
    user: told('Null: the image’s.', Type.Union([Type.String(), Type.Null()])),
    capabilities: Type.Array(Type.String()),
    stopSignal: told('Null: the image’s, or SIGTERM.', Type.Union([Type.String(), Type.Null()])),
    stopGraceMs: Type.Integer(),
    onSilence: told('Its customer’s.', OnSilence),
    createdAt: Instant,
    running: Type.Integer(),
    updated: told(
      'Of those that run: how many do as it was last changed. A change is through when all do and no other is left.',
      Type.Integer(),
    ),
    problem: told('What keeps it from running as wanted, in words; empty when nothing does.', Type.String()),
  },
  { title: 'Workload' },
);
export type Workload = Static<typeof Workload>;

export const WorkloadParams = Type.Object({ customer: CustomerName, name: WorkloadName });

export const workloadRoutes = {
  listWorkloads: {
    method: 'GET',
    path: '/v1/workloads',
    summary: 'All workloads, by customer and name',
    tag: 'workloads',
    security: 'operator',
    schema: {
      querystring: Type.Object(pageQuery, closed),
      response: { 200: Type.Object({ workloads: Type.Array(Workload), next: Next }) },
    },
  },
  getWorkload: {
    method: 'GET',
    path: '/v1/workloads/:customer/:name',
    summary: 'One workload, and how far its last change is through',
    tag: 'workloads',
    security: 'operator',
    schema: { params: WorkloadParams, response: { 200: Workload } },
    versioned: true,
  },
  putWorkload: {
    method: 'PUT',
    path: '/v1/workloads/:customer/:name',
    summary: 'Make or change a workload',
    description: 'The document replaces the one before. `If-None-Match: *` makes it only where there is none.',
    tag: 'workloads',
    security: 'operator',
    schema: { params: WorkloadParams, body: WorkloadSpec, response: { 200: Workload } },
    versioned: true,
  },
  changeWorkload: {
    method: 'PATCH',
    path: '/v1/workloads/:customer/:name',
    summary: 'Change of a workload what is named',
    description:
      'What is left out stays, also values of the environment, which no answer shows; null takes away (RFC 7396).',
    tag: 'workloads',
    security: 'operator',
    schema: { params: WorkloadParams, body: WorkloadPatch, response: { 200: Workload } },
    versioned: true,
  },
  removeWorkload: {
    method: 'DELETE',
    path: '/v1/workloads/:customer/:name',
    summary: 'Remove a workload and its instances',
    tag: 'workloads',
    security: 'operator',
    schema: { params: WorkloadParams, response: { 200: Nothing } },
    versioned: true,
  },
} as const satisfies Routes;
