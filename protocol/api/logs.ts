import { Type, type Static } from 'typebox';
import { WorkloadParams } from './workloads.ts';
import type { Routes } from './route.ts';
import { InstanceId, Instant, NumberText, closed, oneOf, told } from './fields.ts';

export const LogLine = Type.Object(
  {
    at: Instant,
    instance: InstanceId,
    stream: oneOf('stdout', 'stderr', 'muster'),
    text: Type.String(),
  },
  { title: 'LogLine' },
);
export type LogLine = Static<typeof LogLine>;

export const LogPage = Type.Object(
  {
    lines: Type.Array(LogLine),
    before: Type.Union([Type.Integer(), Type.Null()]),
    last: told('Ask for what comes from now on with this as `after`.', Type.Integer()),
  },
  {
    title: 'LogPage',
    description:
      'An answer of about a megabyte at most; `before` is where older lines go on, null where there are no more of those wanted.',
  },
);
export type LogPage = Static<typeof LogPage>;

export const logRoutes = {
  getLogs: {
    method: 'GET',
    path: '/v1/workloads/:customer/:name/logs',
    summary: 'What a workload’s instances printed, oldest first',
    tag: 'workloads',
    security: 'operator',
    access: 'customer',
    schema: {
      params: WorkloadParams,
      querystring: Type.Object(
        {
          tail: Type.Optional(told('The last so many lines: 100 where left out, 10,000 at most.', NumberText)),
          instance: Type.Optional(told('Of this instance alone.', InstanceId)),
          after: Type.Optional(told('What `last` of an answer said: lines that came since.', NumberText)),
          since: Type.Optional(told('Lines of that time or later, in milliseconds since 1970.', NumberText)),
          before: Type.Optional(told('What `before` of the page after says: lines older than those.', NumberText)),
        },
        closed,
      ),
      response: { 200: LogPage },
    },
  },
} as const satisfies Routes;
