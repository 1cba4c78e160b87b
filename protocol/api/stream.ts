import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import { told } from './fields.ts';
import { Approval } from './approvals.ts';
import { Customer } from './customers.ts';
import { Drill } from './drills.ts';
import { Event } from './events.ts';
import { Instance } from './instances.ts';
import { Node } from './nodes.ts';
import { KillOrder } from './orders.ts';
import { Status } from './status.ts';
import { Workload } from './workloads.ts';

export const Snapshot = Type.Object(
  {
    status: Status,
    nodes: Type.Array(Node),
    customers: Type.Array(Customer),
    workloads: Type.Array(Workload),
    instances: Type.Array(Instance),
    kills: Type.Array(KillOrder),
    approvals: told('Those that wait.', Type.Array(Approval)),
    drills: told('The last 20, newest first.', Type.Array(Drill)),
    events: Type.Array(Event),
  },
  {
    title: 'Snapshot',
    description: 'What the rack is now: the first event of a stream, and the one after each `reset`.',
  },
);
export type Snapshot = Static<typeof Snapshot>;

export const streamRoutes = {
  followRack: {
    method: 'GET',
    path: '/v1/stream',
    summary: 'Everything that changes, as server-sent events',
    description: `First a \`snapshot\` (the schema Snapshot), then each change as it happens:

| event | data |
|---|---|
| \`node\`, \`customer\`, \`workload\`, \`instance\`, \`kill\`, \`drill\`, \`approval\`, \`event\` | what it is now |
| \`node-removed\` | mac |
| \`customer-removed\` | name |
| \`workload-removed\` | customer, name |
| \`instance-removed\`, \`approval-removed\` | id |
| \`samples\` | by MAC address, once a second, those that changed |
| \`resumed\` | nothing was lost since \`Last-Event-ID\`: what changed meanwhile follows, and no snapshot |
| \`reset\` | reason: what came before cannot be resumed, a snapshot follows |

Each event but \`samples\` has an id. A client that was cut off sends the last one as \`Last-Event-ID\` and misses nothing, for as long as the controller remembers. A comment goes out every 15 s. A client that reads too slowly is disconnected.`,
    tag: 'rack',
    security: 'operator',
    schema: { headers: Type.Object({ 'last-event-id': Type.Optional(Type.String({ maxLength: 64 })) }) },
    produces: 'text/event-stream',
    contents: Snapshot,
    problems: ['unavailable'],
  },
} as const satisfies Routes;
