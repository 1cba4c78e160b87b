import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import { Instant, Next, NumberText, closed, told } from './fields.ts';

export const Event = Type.Object(
  {
    id: Type.Integer(),
    at: Instant,
    kind: told(
      '`node`, `customer`, `workload`, `instance`, `image`, `kill`, `drill`, `boot`, `controller`',
      Type.String(),
    ),
    subject: told(
      'What it is about: a MAC, a customer, `acme/web`, an instance’s id, an order’s number.',
      Type.String(),
    ),
    message: Type.String(),
  },
  { title: 'Event' },
);
export type Event = Static<typeof Event>;

export const eventRoutes = {
  listEvents: {
    method: 'GET',
    path: '/v1/events',
    summary: 'Events, oldest first',
    description: 'Without `after` the newest ones.',
    tag: 'rack',
    security: 'operator',
    schema: {
      querystring: Type.Object(
        {
          after: Type.Optional(told('Those that follow the event with this id.', NumberText)),
          limit: Type.Optional(told('How many at most: 100 where left out, and no more than 1,000.', NumberText)),
          subject: Type.Optional(
            told(
              'What they are about: a node’s name or MAC address, a customer, `acme/web`, an instance’s id, an order’s number.',
              Type.String({ minLength: 1, maxLength: 100 }),
            ),
          ),
        },
        closed,
      ),
      response: { 200: Type.Object({ events: Type.Array(Event), next: Next }) },
    },
  },
} as const satisfies Routes;
