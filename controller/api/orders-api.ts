// Kill orders, lifts, and approval requests, which wait for a second operator.
import { approvalRoutes, orderRoutes } from '../../protocol/api/orders.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { orRefuse, RefusedError, served, type Server } from './serving/http.ts';
import { isDone, type Orders } from './orders.ts';
import { pageOf } from './serving/pages.ts';
import { orderTimeline, orderView } from './views.ts';

export interface OrdersApiOptions {
  inventory: Inventory;
  orders: Orders;
}

export function registerOrdersApi(app: Server, { inventory, orders }: OrdersApiOptions): void {
  app.route({
    ...served(orderRoutes.kill),

    handler: async (request, reply) => {
      const answer = await orders.kill({
        scope: scopeOf(request.body),
        reason: request.body.reason,
        by: request.operator,
      });
      return isDone(answer) ? reply.status(201).send(answer) : reply.status(202).send(answer);
    },
  });
  app.route({
    ...served(orderRoutes.lift),

    handler: async (request, reply) => {
      const answer = await orders.lift({
        scope: scopeOf(request.body),
        reason: request.body.reason ?? '',
        by: request.operator,
      });
      return isDone(answer) ? reply.status(200).send(answer) : reply.status(202).send(answer);
    },
  });
  app.route({
    ...served(orderRoutes.listOrders),

    handler: async ({ query }) => {
      const view = ({ number }: { number: number }) => orderView(inventory, number);
      const { items, rest } = await pageOf(inventory.orders.all(), { query, key: ({ number }) => number, view });
      return { orders: items, ...rest };
    },
  });
  app.route({
    ...served(orderRoutes.getOrder),

    handler: (request) => {
      const number = Number(request.params.number);
      const timeline = orderTimeline(inventory, number);
      if (timeline === undefined) throw new RefusedError(404, `there is no kill order ${number}`);
      return Promise.resolve(timeline);
    },
  });
}

function scopeOf({ customer, everything: all }: { customer?: string; everything?: true }): string {
  if ((customer === undefined) === (all === undefined))
    throw new RefusedError(400, 'cannot tell whom this is about: want either "customer" or "everything", not both');
  return customer ?? everything;
}

export function registerApprovalsApi(app: Server, { inventory, orders }: OrdersApiOptions): void {
  app.route({
    ...served(approvalRoutes.listApprovals),

    handler: async ({ query }) => {
      const approvals = inventory.approvals.all();
      const { items, rest } = await pageOf(approvals, { query, key: ({ id }) => id, view: (approval) => approval });
      return { approvals: items, ...rest };
    },
  });
  app.route({
    ...served(approvalRoutes.approve),

    handler: async (request, reply) => {
      const asked = inventory.approvals.get(Number(request.params.id));
      if (asked?.action === 'lift' && request.asking.role === 'stopper')
        throw new RefusedError(403, `${request.operator} is a stopper, and may not lift: want a token of an operator`);
      const { action, order } = await orders.approve(Number(request.params.id), request.operator);
      return reply.status(order.stored ? (action === 'kill' ? 201 : 200) : 202).send(order);
    },
  });
  app.route({
    ...served(approvalRoutes.withdrawApproval),

    handler: async (request) => {
      orRefuse(await inventory.approvals.withdraw(Number(request.params.id), request.operator));
      return {};
    },
  });
}
