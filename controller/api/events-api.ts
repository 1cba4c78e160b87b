import { eventRoutes } from '../../protocol/api/events.ts';
import { parseMac } from '../../protocol/mac.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { RefusedError, served, type Server } from './http.ts';
import { restOf } from './pages.ts';

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
      if (events.length === 0 && after === undefined && subject !== undefined && !isKnown(inventory, subject))
        throw new RefusedError(
          404,
          `there is nothing named ${subject}, nor an event about it, want a node, a customer as acme, a workload as acme/web, an instance as web-0000002a, or the number of a kill order`,
        );
      return { events, ...restOf(events, { after, limit, key: ({ id }) => id }) };
    },
  });
}

/** Events are about a node's MAC address, whatever it is called at the time. */
function subjectOf(inventory: Inventory, text: string): string {
  return inventory.nodes.all().find(({ name }) => name === text)?.mac ?? parseMac(text) ?? text;
}

function isKnown(inventory: Inventory, subject: string): boolean {
  const [customer = '', workload = ''] = subject.split('/');
  return (
    inventory.nodes.get(subject) !== undefined ||
    inventory.customers.get(subject) !== undefined ||
    inventory.workloads.get(customer, workload) !== undefined ||
    inventory.instances.get(subject) !== undefined ||
    inventory.images.get(subject) !== undefined ||
    inventory.orders.get(Number(subject)) !== undefined
  );
}
