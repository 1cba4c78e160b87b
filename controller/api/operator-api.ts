// What operators ask: the CLI, the dashboard, scripts, on the loopback address that this listens on. Every request wants an
// operator's token: reads cost the time that permits need, and tell who runs what.
import { statusRoutes, type Status } from '../../protocol/api/status.ts';
import { streamRoutes } from '../../protocol/api/stream.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { Registry } from '../images/registry/registry.ts';
import type { NodeShell } from '../kill/node-shell.ts';
import type { RollCall } from '../kill/roll-call/roll-call.ts';
import type { Power } from '../power/power.ts';
import { registerAuditApi } from './audit-api.ts';
import { authorizeOperators } from './serving/authorization.ts';
import { registerCustomersApi } from './customers-api.ts';
import { registerEventsApi } from './events-api.ts';
import { RefusedError, served, type Server } from './serving/http.ts';
import { registerImagesApi } from './images-api.ts';
import { registerNodesApi } from './nodes-api.ts';
import { registerOperatorsApi } from './operators-api.ts';
import { createOrders } from './orders.ts';
import { registerApprovalsApi, registerOrdersApi } from './orders-api.ts';
import { registerReferenceApi } from './openapi/reference-api.ts';
import type { Stream } from './stream/stream.ts';
import { registerWorkloadsApi } from './workloads-api.ts';

export interface OperatorApiOptions {
  inventory: Inventory;
  rollCall: RollCall;
  images: ImageStore;
  /** Left out where there is none. */
  registry?: (() => Promise<Registry>) | undefined;
  shell: NodeShell;
  /** Left out where no PDU is configured. */
  power?: Power | undefined;
  stream: Stream;
  status: () => Status;
  metrics: () => string;
  /** Milliseconds since 1970. */
  wallClock?: () => number;
  /** Of the operator `root`. */
  token: string;
  /** The two-person rule is on, and a request waits this long for the second operator; off where left out. */
  twoPersonWaitMs?: number | undefined;
}

export function registerOperatorApi(app: Server, options: OperatorApiOptions): void {
  const { inventory, rollCall, images, registry, shell, power, stream, status, metrics, token, twoPersonWaitMs } =
    options;
  authorizeOperators(app, { inventory, rootToken: token });
  const orders = createOrders({ inventory, rollCall, twoPersonWaitMs });
  registerOperatorsApi(app, { inventory, twoPersonRule: twoPersonWaitMs !== undefined });
  registerApprovalsApi(app, { inventory, orders });
  registerAuditApi(app, { inventory, status, wallClock: options.wallClock ?? Date.now });
  app.route({ ...served(statusRoutes.getHealth), handler: () => Promise.resolve({ ok: true }) });
  app.route({
    ...served(statusRoutes.getMetrics),
    handler: (_request, reply) => reply.type('text/plain; version=0.0.4; charset=utf-8').send(metrics()),
  });
  app.route({ ...served(statusRoutes.getStatus), handler: () => Promise.resolve(status()) });
  app.route({
    ...served(streamRoutes.followRack),
    handler: async (request, reply) => {
      if (stream.isFull()) throw new RefusedError(503, 'cannot follow the rack: too many listeners already');
      reply.hijack();
      request.raw.socket.setTimeout(0);
      stream.add(reply.raw, request.headers['last-event-id']);
    },
  });
  registerNodesApi(app, { inventory, rollCall, shell, power });
  registerCustomersApi(app, inventory);
  registerImagesApi(app, { inventory, images, registry });
  registerWorkloadsApi(app, inventory);
  registerOrdersApi(app, { inventory, orders });
  registerEventsApi(app, inventory);
  registerReferenceApi(app);
}
