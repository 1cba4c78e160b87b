import { Type, type Static } from 'typebox';
import { containerCapabilities } from '../container/capabilities.ts';
import { longestStopGraceMs, stopSignalPattern } from '../container/stop-signal.ts';
import { Check, Checks, FilledChecks } from '../workload/check-schemas.ts';
import { Placement } from '../workload/placement-schema.ts';
import { Update } from '../workload/update-schema.ts';
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
    stopped: Type.Optional(told('None of it runs, and how many are wanted is kept.', Type.Boolean())),
    checks: Type.Optional(Checks),
    update: Type.Optional(Update),
    placement: Type.Optional(Placement),
  },
  {
    ...closed,
    title: 'WorkloadSpec',
    description: 'What a customer wants. `PUT` it again to change it: instances are replaced.',
  },
);
export type WorkloadSpec = Static<typeof WorkloadSpec>;

const { image, command, port, memoryBytes, cpu, processes, user, capabilities, stopSignal, stopGraceMs, stopped } =
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
    stopped,
    update: Type.Optional(
      told('Member by member; null instead of all brings the defaults back.', Type.Union([Update, Removal])),
    ),
    placement: Type.Optional(told('The whole of it.', Type.Union([Placement, Removal]))),
    checks: Type.Optional(
      told(
        'Check by check: null takes one away, and null instead of all brings the defaults back.',
        Type.Union([
          Type.Object(
            {
              start: Type.Optional(Type.Union([Check, Removal])),
              ready: Type.Optional(Type.Union([Check, Removal])),
              live: Type.Optional(Type.Union([Check, Removal])),
            },
            closed,
          ),
          Removal,
        ]),
      ),
    ),
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
    stopped: told('None of it is to run; `replicas` are wanted when it is started again.', Type.Boolean()),
    checks: told('With the defaults: what its instances are checked by.', FilledChecks),
    update: told('With the defaults.', Update),
    placement: Placement,
    onSilence: told('Its customer’s.', OnSilence),
    createdAt: Instant,
    revision: told('Grows with each change for which instances are replaced.', Type.Integer()),
    running: Type.Integer(),
    ready: told('Of those that run: how many are ready.', Type.Integer()),
    updated: told(
      'Of those that are ready: how many are as it was last changed. A change is through when all do and no other is left.',
      Type.Integer(),
    ),
    problem: told('What keeps it from running as wanted, in words; empty when nothing does.', Type.String()),
  },
  { title: 'Workload' },
);
export type Workload = Static<typeof Workload>;

export const ChangedWorkload = Type.Intersect(
  [
    Workload,
    Type.Object({
      changes: told(
        'What the request made of it, a phrase each, as `replicas 1 → 3`; none where it was like that already. Values of the environment are in none.',
        Type.Array(Type.String()),
      ),
    }),
  ],
  { title: 'ChangedWorkload', description: 'The workload as it is from now on; with `dryRun`, as it would be.' },
);
export type ChangedWorkload = Static<typeof ChangedWorkload>;

const changeQuery = Type.Object(
  {
    dryRun: Type.Optional(told('`true`: say what would change, or why not, and change nothing.', oneOf('true'))),
  },
  closed,
);

export const Revision = Type.Object(
  {
    revision: Type.Integer(),
    at: Instant,
    by: told('Who asked; null where nobody knows.', Type.Union([Type.String(), Type.Null()])),
    image: ImageName,
    digest: told('Of the image as it was then.', Type.String()),
    changes: told('What it made another than the one before; `created` has all.', Type.Array(Type.String())),
    current: told('It is how the workload is wanted now.', Type.Boolean()),
  },
  { title: 'Revision' },
);
export type Revision = Static<typeof Revision>;

export const RollbackRequest = Type.Object(
  {
    to: Type.Optional(
      told('A revision of the history; the one before the present one where left out.', Type.Integer({ minimum: 1 })),
    ),
  },
  { ...closed, title: 'RollbackRequest' },
);
export type RollbackRequest = Static<typeof RollbackRequest>;

export const WorkloadParams = Type.Object({ customer: CustomerName, name: WorkloadName });

export const workloadRoutes = {
  listWorkloads: {
    method: 'GET',
    path: '/v1/workloads',
    summary: 'All workloads, by customer and name',
    tag: 'workloads',
    security: 'operator',
    access: 'customer',
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
    access: 'customer',
    schema: { params: WorkloadParams, response: { 200: Workload } },
    versioned: true,
  },
  getWorkloadSpec: {
    method: 'GET',
    path: '/v1/workloads/:customer/:name/spec',
    summary: 'What is wanted of a workload, as it was put',
    description: 'The one answer with the values of an environment: for whoever may change the workload.',
    tag: 'workloads',
    security: 'operator',
    access: 'wish',
    schema: { params: WorkloadParams, response: { 200: WorkloadSpec } },
    versioned: true,
  },
  putWorkload: {
    method: 'PUT',
    path: '/v1/workloads/:customer/:name',
    summary: 'Make or change a workload',
    description:
      'The document replaces the one before. `If-None-Match: *` makes it only where there is none; `If-Match` changes only what was read.',
    tag: 'workloads',
    security: 'operator',
    access: 'customer',
    schema: {
      params: WorkloadParams,
      querystring: changeQuery,
      body: WorkloadSpec,
      response: { 200: ChangedWorkload },
    },
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
    access: 'customer',
    schema: {
      params: WorkloadParams,
      querystring: changeQuery,
      body: WorkloadPatch,
      response: { 200: ChangedWorkload },
    },
    versioned: true,
  },
  getWorkloadHistory: {
    method: 'GET',
    path: '/v1/workloads/:customer/:name/history',
    summary: 'How a workload was wanted, newest first',
    description: 'Ten revisions at most, fewer where they are large.',
    tag: 'workloads',
    security: 'operator',
    access: 'customer',
    schema: { params: WorkloadParams, response: { 200: Type.Object({ revisions: Type.Array(Revision) }) } },
  },
  rollBackWorkload: {
    method: 'POST',
    path: '/v1/workloads/:customer/:name/rollback',
    summary: 'Want a workload as it was',
    description:
      'With the image as it was then, whatever its name stands for now. How many there are, and whether it is stopped, stays. It becomes a new revision.',
    tag: 'workloads',
    security: 'operator',
    access: 'customer',
    schema: { params: WorkloadParams, body: RollbackRequest, response: { 200: ChangedWorkload } },
    versioned: true,
  },
  restartWorkload: {
    method: 'POST',
    path: '/v1/workloads/:customer/:name/restart',
    summary: 'Replace all instances of a workload by new ones',
    description: 'As for a change, one after the other.',
    tag: 'workloads',
    security: 'operator',
    access: 'customer',
    schema: { params: WorkloadParams, response: { 200: ChangedWorkload } },
    versioned: true,
  },
  removeWorkload: {
    method: 'DELETE',
    path: '/v1/workloads/:customer/:name',
    summary: 'Remove a workload and its instances',
    tag: 'workloads',
    security: 'operator',
    access: 'customer',
    schema: { params: WorkloadParams, response: { 200: Nothing } },
    versioned: true,
  },
} as const satisfies Routes;
