// Kill orders, lifts, and approval requests, which wait for a second operator.
import { Type } from 'typebox';
import { Approval } from '../../protocol/api/approvals.ts';
import { KillOrder, KillRequest, KillTimeline, LiftRequest } from '../../protocol/api/orders.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { orRefuse, RefusedError, type Server } from './http.ts';
import { isDone, type Orders } from './orders.ts';
import { orderTimeline, orderView } from './views.ts';

const OrderParams = Type.Object({ number: Type.String({ pattern: '^[0-9]{1,9}$' }) });
const ApprovalParams = Type.Object({ id: Type.String({ pattern: '^[0-9]{1,9}$' }) });

export interface OrdersApiOptions {
  inventory: Inventory;
  orders: Orders;
}

export function registerOrdersApi(app: Server, { inventory, orders }: OrdersApiOptions): void {
  app.post(
    '/v1/kill',
    {
      schema: {
        body: KillRequest,
        response: { 201: KillOrder, 202: Type.Union([Approval, KillOrder]) },
      },
    },
    async (request, reply) => {
      const answer = await orders.kill(scopeOf(request.body), request.body.reason, request.operator);
      return isDone(answer) ? reply.status(201).send(answer) : reply.status(202).send(answer);
    },
  );
  app.post(
    '/v1/lift',
    {
      schema: {
        body: LiftRequest,
        response: { 200: KillOrder, 202: Type.Union([Approval, KillOrder]) },
      },
    },
    async (request, reply) => {
      const answer = await orders.lift(scopeOf(request.body), request.body.reason ?? '', request.operator);
      return isDone(answer) ? reply.status(200).send(answer) : reply.status(202).send(answer);
    },
  );
  app.get('/v1/kill', { schema: { response: { 200: Type.Object({ orders: Type.Array(KillOrder) }) } } }, () =>
    Promise.resolve({ orders: inventory.orders.all().flatMap(({ number }) => orderView(inventory, number) ?? []) }),
  );
  app.get('/v1/kill/:number', { schema: { params: OrderParams, response: { 200: KillTimeline } } }, (request) => {
    const number = Number(request.params.number);
    const timeline = orderTimeline(inventory, number);
    if (timeline === undefined) throw new RefusedError(404, `there is no kill order ${number}`);
    return Promise.resolve(timeline);
  });
}

function scopeOf({ customer, everything: all }: { customer?: string; everything?: true }): string {
  if ((customer === undefined) === (all === undefined))
    throw new RefusedError(400, 'cannot tell whom this is about: want either "customer" or "everything", not both');
  return customer ?? everything;
}

export function registerApprovalsApi(app: Server, { inventory, orders }: OrdersApiOptions): void {
  app.get('/v1/approvals', { schema: { response: { 200: Type.Object({ approvals: Type.Array(Approval) }) } } }, () =>
    Promise.resolve({ approvals: inventory.approvals.all() }),
  );
  app.post(
    '/v1/approvals/:id',
    { schema: { params: ApprovalParams, response: { 200: KillOrder, 201: KillOrder, 202: KillOrder } } },
    async (request, reply) => {
      const { action, order } = await orders.confirm(Number(request.params.id), request.operator);
      return reply.status(order.stored ? (action === 'kill' ? 201 : 200) : 202).send(order);
    },
  );
  app.delete('/v1/approvals/:id', { schema: { params: ApprovalParams } }, async (request) => {
    orRefuse(await inventory.approvals.withdraw(Number(request.params.id), request.operator));
    return {};
  });
}
