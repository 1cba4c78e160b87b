// Who asks: each change is by a named operator, told by the bearer token. And what needs two of them: a kill of
// everything and any lift, where the two-person rule is on; stopping one customer never does.
import { Type } from 'typebox';
import * as api from '../protocol/api.ts';
import { operatorPattern } from '../protocol/names.ts';
import { everything } from '../protocol/roll-call.ts';
import type { OrderDocument } from '../inventory/documents.ts';
import type { Inventory } from '../inventory/inventory.ts';
import { type CarriedOut, tokenSha256, type Wish } from '../inventory/people.ts';
import { orderView } from '../inventory/views.ts';
import { orRefuse, RefusedError, shown, type Server } from './http.ts';
import { enforceKill, enforceLift, giveKillOrder, killTargets, liftKillOrder } from './kill-order.ts';
import type { RollCall } from './roll-call.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The operator's name; empty where no token, or nobody's, came with the request. */
    operator: string;
  }
}

/** Reads are open; every change wants the token of an operator. `rootToken` is the one in the state directory. */
export function authorizeOperators(
  app: Server,
  { inventory, rootToken }: { inventory: Inventory; rootToken: string },
): void {
  const { people } = inventory;
  app.decorateRequest('operator', '');
  app.addHook('onReady', () => people.setRoot(tokenSha256(rootToken)));
  app.addHook('onRequest', (request, _reply, done) => {
    // Compared by its hash: how long that takes tells nothing about the token.
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    request.operator = (token === undefined ? undefined : people.nameOf(tokenSha256(token))) ?? '';
    const reads = request.method === 'GET' || request.method === 'HEAD';
    done(
      reads || request.operator !== ''
        ? undefined
        : new RefusedError(401, 'cannot change anything without an operator\u2019s token, want it as a bearer token'),
    );
  });
}

export interface OrdersOptions {
  inventory: Inventory;
  rollCall: RollCall;
  /** How long a request waits for a second operator; undefined: one is enough for everything. */
  twoPersonWaitMs: number | undefined;
}

/** Orders that are given, lifted, or left waiting for a second operator. Each method throws RefusedError. */
export interface Orders {
  kill(scope: string, reason: string, by: string): Promise<api.KillOrder | api.Approval>;
  lift(scope: string, reason: string, by: string): Promise<api.KillOrder | api.Approval>;
  confirm(id: number, by: string): Promise<{ action: api.Approval['action']; order: api.KillOrder }>;
}

export function createOrders({ inventory, rollCall, twoPersonWaitMs }: OrdersOptions): Orders {
  const rooms = { inventory, rollCall };
  const view = ({ number }: OrderDocument): api.KillOrder => shown(orderView(inventory, number));

  /** What the inventory decided is on disk: now it goes out. */
  function enforced({ action, order }: CarriedOut): api.KillOrder {
    if (action === 'kill') enforceKill(rooms, order);
    else enforceLift(rooms);
    return view(order);
  }
  async function ask(wish: Wish, waitMs: number): Promise<api.KillOrder | api.Approval> {
    const answered = orRefuse(await inventory.people.ask(wish, waitMs));
    return 'approval' in answered ? answered.approval : enforced(answered);
  }

  return {
    kill: async (scope, reason, by) =>
      twoPersonWaitMs !== undefined && scope === everything
        ? ask({ action: 'kill', scope, reason, by, targets: killTargets(inventory) }, twoPersonWaitMs)
        : view(orRefuse(await giveKillOrder(rooms, { scope, reason, by }))),
    lift: async (scope, reason, by) =>
      twoPersonWaitMs !== undefined
        ? ask({ action: 'lift', scope, reason, by, targets: [] }, twoPersonWaitMs)
        : view(orRefuse(await liftKillOrder(rooms, { scope, reason, by }))),
    confirm: async (id, by) => {
      const done = orRefuse(await inventory.people.confirm(id, by, killTargets(inventory)));
      return { action: done.action, order: enforced(done) };
    },
  };
}

/** Whether what `Orders` answered with waits. */
export function waits(answer: api.KillOrder | api.Approval): answer is api.Approval {
  return 'expiresAt' in answer;
}

const ApprovalParams = Type.Object({ id: Type.String({ pattern: '^[0-9]{1,9}$' }) });
const OperatorParams = Type.Object({ operator: Type.String({ pattern: operatorPattern }) });

export function registerPeople(app: Server, { inventory, orders }: { inventory: Inventory; orders: Orders }): void {
  const { people } = inventory;
  app.get('/v1/whoami', { schema: { response: { 200: api.Whoami } } }, (request) =>
    Promise.resolve({ name: request.operator === '' ? null : request.operator }),
  );
  app.get(
    '/v1/operators',
    { schema: { response: { 200: Type.Object({ operators: Type.Array(api.Operator) }) } } },
    () => Promise.resolve({ operators: people.operators().map(({ name, createdAt }) => ({ name, createdAt })) }),
  );
  app.post(
    '/v1/operators',
    { schema: { body: api.OperatorSpec, response: { 201: api.NewOperator } } },
    async (request, reply) =>
      // The token must not stay in a cache.
      reply
        .status(201)
        .header('cache-control', 'no-store')
        .send(orRefuse(await people.add(request.body.name, request.operator))),
  );
  app.delete('/v1/operators/:operator', { schema: { params: OperatorParams } }, async (request) => {
    orRefuse(await people.remove(request.params.operator, request.operator));
    return {};
  });

  app.get(
    '/v1/approvals',
    { schema: { response: { 200: Type.Object({ approvals: Type.Array(api.Approval) }) } } },
    () => Promise.resolve({ approvals: people.approvals() }),
  );
  app.post(
    '/v1/approvals/:id',
    { schema: { params: ApprovalParams, response: { 200: api.KillOrder, 201: api.KillOrder } } },
    async (request, reply) => {
      const { action, order } = await orders.confirm(Number(request.params.id), request.operator);
      return reply.status(action === 'kill' ? 201 : 200).send(order);
    },
  );
  app.delete('/v1/approvals/:id', { schema: { params: ApprovalParams } }, async (request) => {
    orRefuse(await people.withdraw(Number(request.params.id), request.operator));
    return {};
  });
}
