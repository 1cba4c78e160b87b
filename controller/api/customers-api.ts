import { Type } from 'typebox';
import { Customer, CustomerSpec } from '../../protocol/api/customers.ts';
import { customerPattern } from '../../protocol/names.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { orRefuse, shown, type Server } from './http.ts';
import { customerView } from './views.ts';

const CustomerParams = Type.Object({ customer: Type.String({ pattern: customerPattern }) });

export function registerCustomersApi(app: Server, inventory: Inventory): void {
  app.get('/v1/customers', { schema: { response: { 200: Type.Object({ customers: Type.Array(Customer) }) } } }, () =>
    Promise.resolve({
      customers: inventory.customers.all().flatMap(({ name }) => customerView(inventory, name) ?? []),
    }),
  );
  app.post('/v1/customers', { schema: { body: CustomerSpec, response: { 201: Customer } } }, async (request, reply) => {
    orRefuse(await inventory.customers.add(request.body, request.operator));
    return reply.status(201).send(shown(customerView(inventory, request.body.name)));
  });
  app.delete('/v1/customers/:customer', { schema: { params: CustomerParams } }, async (request) => {
    orRefuse(await inventory.customers.remove(request.params.customer, request.operator));
    return {};
  });
}
