import { customerRoutes } from '../../protocol/api/customers.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { ownCustomer } from './serving/access.ts';
import { orRefuse, RefusedError, served, shown, type Server } from './serving/http.ts';
import { pageOf } from './serving/pages.ts';
import { etagOf, requireVersion, keyedMutex } from './serving/versions.ts';
import { customerView } from './views.ts';

export function registerCustomersApi(app: Server, inventory: Inventory): void {
  const exclusively = keyedMutex();
  app.route({
    ...served(customerRoutes.listCustomers),
    handler: async ({ query, asking }) => {
      const own = ownCustomer(asking);
      const all = inventory.customers.all();
      const wanted = own === undefined ? all : all.filter(({ name }) => name === own);
      const view = ({ name }: { name: string }) => customerView(inventory, name);
      const { items, rest } = await pageOf(wanted, { query, key: ({ name }) => name, view });
      return { customers: items, ...rest };
    },
  });
  app.route({
    ...served(customerRoutes.getCustomer),
    handler: async ({ params: { customer } }, reply) => {
      const etag = versionOf(inventory, customer);
      if (etag === undefined) throw new RefusedError(404, `there is no customer ${customer}`);
      return reply.header('etag', etag).send(shown(customerView(inventory, customer)));
    },
  });
  app.route({
    ...served(customerRoutes.addCustomer),
    handler: async (request, reply) => {
      orRefuse(await inventory.customers.add(request.body, request.operator));
      const { name } = request.body;
      return reply
        .status(201)
        .header('etag', versionOf(inventory, name) ?? '')
        .send(shown(customerView(inventory, name)));
    },
  });
  app.route({
    ...served(customerRoutes.removeCustomer),
    handler: (request) => {
      const { customer } = request.params;
      return exclusively(customer, async () => {
        requireVersion(request, { name: customer, etag: versionOf(inventory, customer) });
        orRefuse(await inventory.customers.remove(customer, request.operator));
        return {};
      });
    },
  });
}

function versionOf(inventory: Inventory, name: string): string | undefined {
  const customer = inventory.customers.get(name);
  if (customer === undefined) return undefined;
  const { onSilence, memoryBytes, processes, uidBase, createdAt } = customer;
  return etagOf(name, onSilence, memoryBytes, processes, uidBase, createdAt);
}
