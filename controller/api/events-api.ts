import { Type } from 'typebox';
import { Event } from '../../protocol/api/events.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { Server } from './http.ts';

const digits = Type.Optional(Type.String({ pattern: '^[0-9]{1,9}$' }));

export function registerEventsApi(app: Server, inventory: Inventory): void {
  app.get(
    '/v1/events',
    {
      schema: {
        querystring: Type.Object({
          after: digits,
          limit: digits,
          subject: Type.Optional(Type.String({ maxLength: 100 })),
        }),
        response: { 200: Type.Object({ events: Type.Array(Event) }) },
      },
    },
    async (request) => {
      const { after, limit, subject } = request.query;
      return {
        events: await inventory.events.list({
          limit: Math.min(1_000, Number(limit ?? 100)),
          ...(after === undefined ? {} : { after: Number(after) }),
          ...(subject === undefined ? {} : { subject }),
        }),
      };
    },
  );
}
