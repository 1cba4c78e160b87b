// What operators ask of the audit log, and the printable report on a kill order. All of it reads.
import { auditRoutes } from '../../protocol/api/audit.ts';
import { orderRoutes } from '../../protocol/api/orders.ts';
import type { Status } from '../../protocol/api/status.ts';
import { killReportHtml } from '../../dashboard/kill-report.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { StorageError } from '../../inventory/store/store.ts';
import { orderTimeline } from './views.ts';
import { RefusedError, served, type Server } from './serving/http.ts';
import { restOf } from './serving/pages.ts';

/** Entries an answer holds at most: an order that names a rack is 15 kB. */
const entriesLimit = 1_000;

export function registerAuditApi(
  app: Server,
  { inventory, status, wallClock }: { inventory: Inventory; status: () => Status; wallClock: () => number },
): void {
  app.route({
    ...served(auditRoutes.listAuditEntries),

    handler: async (request) => {
      const { after } = request.query;
      const limit = Math.min(entriesLimit, Number(request.query.limit ?? 100));
      const entries = await inventory.audit.entries({
        limit,
        ...(after === undefined ? {} : { after: Number(after) }),
      });
      return { entries, ...restOf(entries, { after, limit, key: ({ sequence }) => sequence }) };
    },
  });
  app.route({
    ...served(auditRoutes.verifyAudit),

    handler: () => inventory.audit.verify(),
  });

  app.route({
    ...served(orderRoutes.getOrderReport),

    handler: async (request, reply) => {
      const number = Number(request.params.number);
      const order = orderTimeline(inventory, number);
      if (order === undefined) throw new RefusedError(404, `there is no kill order ${number}`);
      const [last] = await inventory.audit.entries({ limit: 1 }).catch((error: unknown) => {
        // The report is wanted all the more when the disk is in trouble.
        if (!(error instanceof StorageError)) throw error;
        return [];
      });
      return reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
        .header('cache-control', 'no-store')
        .send(killReportHtml({ order, rack: status().rack, audit: last ?? null, at: wallClock() }));
    },
  });
}
