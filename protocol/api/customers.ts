import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import { CustomerName, Instant, Next, Nothing, closed, oneOf, pageQuery, told } from './fields.ts';

export const OnSilence = oneOf('stop', 'hold');
export const CustomerSpec = Type.Object(
  {
    name: CustomerName,
    onSilence: Type.Optional(
      told(
        'What a node that hears no controller does with this customer: `stop` keeps the bound, `hold` gives it up.',
        OnSilence,
      ),
    ),
    memoryBytes: Type.Optional(
      told(
        'Most memory for all of the customer’s instances on one node. Default 768 MiB.',
        Type.Integer({ minimum: 16 * 2 ** 20, maximum: 2 ** 40 }),
      ),
    ),
    processes: Type.Optional(
      told(
        'Most processes for all of the customer’s instances on one node. Default 512.',
        Type.Integer({ minimum: 8, maximum: 32_768 }),
      ),
    ),
  },
  { ...closed, title: 'CustomerSpec' },
);
export type CustomerSpec = Static<typeof CustomerSpec>;

export const Customer = Type.Object(
  {
    name: CustomerName,
    onSilence: OnSilence,
    memoryBytes: Type.Integer(),
    processes: Type.Integer(),
    uidBase: told(
      'Which range of 65,536 user ids its containers run as; never given to another customer.',
      Type.Integer(),
    ),
    createdAt: Instant,
    killedBy: told(
      'The standing order that stops it (its own or the one for everything), if any.',
      Type.Union([Type.Integer(), Type.Null()]),
    ),
    workloads: Type.Integer(),
    instances: Type.Integer(),
    running: Type.Integer(),
  },
  { title: 'Customer' },
);
export type Customer = Static<typeof Customer>;

const CustomerParams = Type.Object({ customer: CustomerName });

export const customerRoutes = {
  listCustomers: {
    method: 'GET',
    path: '/v1/customers',
    summary: 'All customers, by name',
    tag: 'customers',
    security: 'operator',
    access: 'customer',
    schema: {
      querystring: Type.Object(pageQuery, closed),
      response: { 200: Type.Object({ customers: Type.Array(Customer), next: Next }) },
    },
  },
  getCustomer: {
    method: 'GET',
    path: '/v1/customers/:customer',
    summary: 'One customer',
    tag: 'customers',
    security: 'operator',
    access: 'customer',
    schema: { params: CustomerParams, response: { 200: Customer } },
    versioned: true,
  },
  addCustomer: {
    method: 'POST',
    path: '/v1/customers',
    summary: 'Add a customer',
    tag: 'customers',
    security: 'operator',
    schema: { body: CustomerSpec, response: { 201: Customer } },
  },
  removeCustomer: {
    method: 'DELETE',
    path: '/v1/customers/:customer',
    summary: 'Remove a customer',
    tag: 'customers',
    security: 'operator',
    schema: { params: CustomerParams, response: { 200: Nothing } },
    versioned: true,
  },
} as const satisfies Routes;
