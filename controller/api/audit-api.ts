// What operators ask of the audit log, and the printable report on a kill order. All of it reads.
import { Type } from 'typebox';
import { AuditEntry, AuditVerdict } from '../../protocol/api/audit.ts';
import { Status } from '../../protocol/api/status.ts';
import { killReportHtml } from '../../protocol/kill-report.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { StorageError } from '../../inventory/store/store.ts';
import { orderTimeline } from './views.ts';
import { RefusedError, type Server } from './http.ts';

const digits = Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$' }));
const OrderParams = Type.Object({ number: Type.String({ pattern: '^[0-9]{1,9}$' }) });
/** Entries an answer holds at most: an order that names a rack is 15 kB. */
const pageLimit = 1_000;

export function registerAuditApi(
  app: Server,
  { inventory, status, wallClock }: { inventory: Inventory; status: () => Status; wallClock: () => number },
): void {
  app.get(
    '/v1/audit',
    {
      schema: {
        querystring: Type.Object({ after: digits, limit: digits }),
        response: { 200: Type.Object({ entries: Type.Array(AuditEntry) }) },
      },
    },
    async (request) => {
      const { after, limit } = request.query;
      return {
        entries: await inventory.audit.entries({
          limit: Math.min(pageLimit, Number(limit ?? 100)),
          ...(after === undefined ? {} : { after: Number(after) }),
        }),
      };
    },
  );
  app.get('/v1/audit/verify', { schema: { response: { 200: AuditVerdict } } }, () => inventory.audit.verify());

  app.get('/v1/kill/:number/report', { schema: { params: OrderParams } }, async (request, reply) => {
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
  });
}
