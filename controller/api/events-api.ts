import { eventRoutes } from '../../protocol/api/events.ts';
import { parseMac } from '../../protocol/mac.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { served, type Server } from './serving/http.ts';
import { restOf } from './serving/pages.ts';

const eventsLimit = 1_000;

export function registerEventsApi(app: Server, inventory: Inventory): void {
  app.route({
    ...served(eventRoutes.listEvents),
    handler: async ({ query }) => {
      const { after, subject: asked } = query;
      const limit = Math.min(eventsLimit, Number(query.limit ?? 100));
      const subject = asked === undefined ? undefined : subjectOf(inventory, asked);
      const events = await inventory.events.list({
        limit,
        ...(after === undefined ? {} : { after: Number(after) }),
        ...(subject === undefined ? {} : { subject }),
      });
      return { events, ...restOf(events, { after, limit, key: ({ id }) => id }) };
    },
  });
}

/** Events are about a node's MAC address, whatever it is called at the time. */
function subjectOf(inventory: Inventory, text: string): string {
  return inventory.nodes.all().find(({ name }) => name === text)?.mac ?? parseMac(text) ?? text;
}
