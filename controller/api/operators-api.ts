import { Type } from 'typebox';
import { NewOperator, Operator, OperatorSpec, Whoami } from '../../protocol/api/operators.ts';
import { operatorPattern } from '../../protocol/names.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { orRefuse, type Server } from './http.ts';

const OperatorParams = Type.Object({ operator: Type.String({ pattern: operatorPattern }) });

export function registerOperatorsApi(app: Server, inventory: Inventory): void {
  app.get('/v1/whoami', { schema: { response: { 200: Whoami } } }, (request) =>
    Promise.resolve({ name: request.operator }),
  );
  app.get('/v1/operators', { schema: { response: { 200: Type.Object({ operators: Type.Array(Operator) }) } } }, () =>
    Promise.resolve({ operators: inventory.operators.all().map(({ name, createdAt }) => ({ name, createdAt })) }),
  );
  app.post(
    '/v1/operators',
    { schema: { body: OperatorSpec, response: { 201: NewOperator } } },
    async (request, reply) =>
      // The token must not stay in a cache.
      reply
        .status(201)
        .header('cache-control', 'no-store')
        .send(orRefuse(await inventory.operators.add(request.body.name, request.operator))),
  );
  app.delete('/v1/operators/:operator', { schema: { params: OperatorParams } }, async (request) => {
    orRefuse(await inventory.operators.remove(request.params.operator, request.operator));
    return {};
  });
}
