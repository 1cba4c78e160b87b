// What operators ask: the CLI, the dashboard, scripts, on the loopback address that this listens on. Every request wants an
// operator's token: reads cost the time that permits need, and tell who runs what.
import { Status } from '../../protocol/api/status.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { ImageStore } from '../image-store.ts';
import type { NodeShell } from '../kill/node-shell.ts';
import type { RollCall } from '../kill/roll-call.ts';
import type { Power } from '../power/power.ts';
import { registerAuditApi } from './audit-api.ts';
import { authorizeOperators } from './authorization.ts';
import { registerCustomersApi } from './customers-api.ts';
import { registerEventsApi } from './events-api.ts';
import type { Server } from './http.ts';
import { registerImagesApi } from './images-api.ts';
import { registerNodesApi } from './nodes-api.ts';
import { registerOperatorsApi } from './operators-api.ts';
import { createOrders } from './orders.ts';
import { registerApprovalsApi, registerOrdersApi } from './orders-api.ts';
import type { Stream } from './stream.ts';
import { registerWorkloadPatch } from './workload-patch.ts';
import { registerWorkloadsApi } from './workloads-api.ts';

export interface OperatorApiOptions {
  inventory: Inventory;
  rollCall: RollCall;
  images: ImageStore;
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
  const { inventory, rollCall, images, shell, power, stream, status, metrics, token, twoPersonWaitMs } = options;
  authorizeOperators(app, { inventory, rootToken: token });
  const orders = createOrders({ inventory, rollCall, twoPersonWaitMs });
  registerOperatorsApi(app, inventory);
  registerApprovalsApi(app, { inventory, orders });
  registerAuditApi(app, { inventory, status, wallClock: options.wallClock ?? Date.now });
  app.get('/healthz', () => Promise.resolve({ ok: true }));
  app.get('/metrics', (_request, reply) => reply.type('text/plain; version=0.0.4; charset=utf-8').send(metrics()));
  app.get('/v1/status', { schema: { response: { 200: Status } } }, () => Promise.resolve(status()));
  app.get('/v1/stream', async (request, reply) => {
    reply.hijack();
    request.raw.socket.setTimeout(0);
    if (!stream.add(reply.raw)) reply.raw.writeHead(503).end('{"error":"too many listeners already"}');
  });
  registerNodesApi(app, { inventory, rollCall, shell, power });
  registerCustomersApi(app, inventory);
  registerImagesApi(app, { inventory, images });
  registerWorkloadsApi(app, inventory);
  registerWorkloadPatch(app, { inventory });
  registerOrdersApi(app, { inventory, orders });
  registerEventsApi(app, inventory);
}
