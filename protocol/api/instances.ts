import { Type, type Static } from 'typebox';
import { containerCapabilities } from '../container/capabilities.ts';
import { FilledChecks } from '../workload/check-schemas.ts';
import type { Routes } from './route.ts';
import {
  CustomerName,
  InstanceId,
  Instant,
  MacAddress,
  Next,
  WorkloadName,
  closed,
  oneOf,
  pageQuery,
  told,
} from './fields.ts';

/** As the node sees it. `stopped` says why in `reason`: killed, silence, exited, removed. */
export const instanceStates = ['placed', 'fetching', 'starting', 'running', 'exited', 'stopped', 'failed'] as const;
export type InstanceState = (typeof instanceStates)[number];

export const Instance = Type.Object(
  {
    id: InstanceId,
    customer: CustomerName,
    workload: WorkloadName,
    node: MacAddress,
    nodeName: Type.String(),
    state: oneOf(...instanceStates),
    reason: told('Why it is in its state, or why it is not ready.', Type.String()),
    ready: told('It runs, its checks hold, and it may be sent traffic.', Type.Boolean()),
    since: Instant,
    restarts: Type.Integer(),
    endpoint: told(
      'Where its port can be reached, `http://10.77.0.51:20000`, or null.',
      Type.Union([Type.String(), Type.Null()]),
    ),
  },
  { title: 'Instance' },
);
export type Instance = Static<typeof Instance>;

export const ContainerConfiguration = Type.Object(
  {
    args: Type.Array(Type.String()),
    env: Type.Array(Type.String()),
    workingDir: Type.String(),
    user: Type.Optional(
      told('`user` or `user:group`, resolved on the node by the image’s own files; none: root.', Type.String()),
    ),
    capabilities: Type.Optional(
      told(
        'Those of its root, within its customer’s user namespace; none named: all of `capabilities.ts`.',
        Type.Array(oneOf(...containerCapabilities)),
      ),
    ),
    stopSignal: Type.Optional(Type.String()),
    stopGraceMs: Type.Optional(Type.Integer()),
    checks: Type.Optional(FilledChecks),
  },
  {
    title: 'ContainerConfiguration',
    description:
      'What a container is started with: the image’s own words and the workload’s. Bounds: `desired-state.ts`.',
  },
);
export type ContainerConfiguration = Static<typeof ContainerConfiguration>;

export const instanceRoutes = {
  listInstances: {
    method: 'GET',
    path: '/v1/instances',
    summary: 'All instances, by id',
    tag: 'workloads',
    security: 'operator',
    access: 'customer',
    schema: {
      querystring: Type.Object({ customer: Type.Optional(CustomerName), ...pageQuery }, closed),
      response: { 200: Type.Object({ instances: Type.Array(Instance), next: Next }) },
    },
  },
} as const satisfies Routes;
