import { operatorRoutes } from '../../protocol/api/operators.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { orRefuse, served, type Server } from './serving/http.ts';
import { pageOf } from './serving/pages.ts';

export function registerOperatorsApi(
  app: Server,
  { inventory, twoPersonRule }: { inventory: Inventory; twoPersonRule: boolean },
): void {
  app.route({
    ...served(operatorRoutes.whoami),

    handler: ({ asking: { name, role, customer, expiresAt } }) =>
      Promise.resolve({ name, role, customer, expiresAt, twoPersonRule }),
  });
  app.route({
    ...served(operatorRoutes.listOperators),

    handler: async ({ query }) => {
      const { items, rest } = await pageOf(inventory.operators.all(), {
        query,
        key: ({ name }) => name,
        view: (operator) => operator,
      });
      return { operators: items, ...rest };
    },
  });
  app.route({
    ...served(operatorRoutes.addOperator),

    handler: async (request, reply) =>
      // The token must not stay in a cache.
      reply
        .status(201)
        .header('cache-control', 'no-store')
        .send(orRefuse(await inventory.operators.add(request.body, request.operator))),
  });
  app.route({
    ...served(operatorRoutes.removeOperator),

    handler: async (request) => {
      orRefuse(await inventory.operators.remove(request.params.operator, request.operator));
      return {};
    },
  });
}
