// Who asks: each request is by a named operator, told by the bearer token. And what needs two of them: a kill of
// everything and any lift, where the two-person rule is on; stopping one customer never does.
import { setTimeout as realPause } from 'node:timers/promises';
import { Type } from 'typebox';
import { Approval } from '../../protocol/api/approvals.ts';
import { NewOperator, Operator, OperatorSpec, Whoami } from '../../protocol/api/operators.ts';
import { KillOrder } from '../../protocol/api/orders.ts';
import { operatorPattern } from '../../protocol/names.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { OrderHooks } from '../../inventory/orders/unstored-orders.ts';
import type { Refused } from '../../inventory/refused.ts';
import type { RequestAnswer, ApprovalRequest } from '../../inventory/operators/approvals.ts';
import { tokenSha256 } from '../../inventory/operators/operators.ts';
import { orderView } from './views.ts';
import { orRefuse, RefusedError, shown, type Server } from './http.ts';
import { giveKillOrder, killHooks, killTargets, liftHooks, liftKillOrder } from '../kill/kill-order.ts';
import { startRepeatedEvents } from '../kill/repeated-events.ts';
import type { RollCall } from '../kill/roll-call.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The operator's name; empty where no token, or nobody's, came with the request. */
    operator: string;
  }
}

/** What anybody may ask for: whether we live, and the page's own files, which ask for a token then. */
const openRoutes: ReadonlySet<string | undefined> = new Set(['/healthz', '/', '/page/*']);

/** Who sends a wrong token waits this long for the answer, and so many may wait; the rest is refused at once. */
const wrongTokenMs = 100;
const wrongTokensAtOnce = 16;

/** Every request but for `openRoutes` wants the token of an operator. `rootToken` is the one in the state directory. */
export function authorizeOperators(
  app: Server,
  { inventory, rootToken }: { inventory: Inventory; rootToken: string },
): void {
  let wrongTokens = 0;
  const guesses = startRepeatedEvents({
    tell: (subject, message) => inventory.events.add({ kind: 'controller', subject, message }),
    now: () => performance.now(),
  });
  app.decorateRequest('operator', '');
  app.addHook('onReady', () => inventory.operators.setRoot(tokenSha256(rootToken)));
  app.addHook('onRequest', async (request) => {
    const { url } = request.routeOptions;
    refuseOtherSites(request.headers, url);
    // Compared by its hash: how long that takes tells nothing about the token.
    const token = /^Bearer (.{1,200})$/.exec(request.headers.authorization ?? '')?.[1];
    request.operator = (token === undefined ? undefined : inventory.operators.nameOf(tokenSha256(token))) ?? '';
    if (request.operator !== '') app.connections.prove(request.raw.socket);
    if (request.operator !== '' || openRoutes.has(url)) return;
    if (token !== undefined) {
      guesses.note({ kind: request.ip, subject: 'operators', message: `a wrong token came from ${request.ip}` });
      if (wrongTokens >= wrongTokensAtOnce)
        throw new RefusedError(429, 'cannot look at this token: too many wrong ones at once, want a pause');
      wrongTokens++;
      await realPause(wrongTokenMs).finally(() => wrongTokens--);
    }
    throw new RefusedError(401, 'cannot answer without an operator\u2019s token, want it as a bearer token');
  });
}

/** Browsers say whose page it is that asks. A page of another site may lead people to ours, and no more. */
function refuseOtherSites(headers: Record<string, unknown>, url: string | undefined): void {
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return;
  if (url === '/' && headers['sec-fetch-mode'] === 'navigate') return;
  throw new RefusedError(
    403,
    `cannot answer a page of another site: it is ${JSON.stringify(site).slice(0, 40)}, want same-origin`,
  );
}

export interface OrdersOptions {
  inventory: Inventory;
  rollCall: RollCall;
  /** How long a request waits for a second operator; undefined: one is enough for everything. */
  twoPersonWaitMs: number | undefined;
  pause?: (ms: number) => Promise<unknown>;
}

/** Orders that are given, lifted, or left waiting for a second operator. Each method throws RefusedError. */
export interface Orders {
  kill(scope: string, reason: string, by: string): Promise<KillOrder | Approval>;
  lift(scope: string, reason: string, by: string): Promise<KillOrder | Approval>;
  confirm(id: number, by: string): Promise<{ action: Approval['action']; order: KillOrder }>;
}

/** A disk that takes an order at all takes it sooner. Then the answer says that it is in force, and not stored. */
const answerMs = 700;

export function createOrders({ inventory, rollCall, twoPersonWaitMs, pause = realPause }: OrdersOptions): Orders {
  const rooms = { inventory, rollCall };
  const view = (number: number): KillOrder => shown(orderView(inventory, number));
  type Accepted = NonNullable<OrderHooks['accepted']>;

  /** In bounded time, with what `work` came to or with the order that it accepted. */
  async function answered<T extends object>(
    work: (accepted: Accepted) => Promise<T | Refused>,
    numberIn: (done: T) => number | undefined,
  ): Promise<{ done: T } | { number: number }> {
    const accepted = Promise.withResolvers<number>();
    const done = work(({ number }) => accepted.resolve(number)).then(orRefuse);
    const waited = accepted.promise.then(async (number) => {
      await pause(answerMs);
      return { number };
    });
    // After an answer without it the inventory says by itself what became of it.
    done.catch(() => undefined);
    const first = await Promise.race([done.then((settled) => ({ done: settled })), waited]);
    const number = 'done' in first ? numberIn(first.done) : undefined;
    return number === undefined ? first : { number };
  }
  const orderNumber = ({ number }: OrderDocument) => number;
  const hooksFor = (action: ApprovalRequest['action'], accepted: Accepted) =>
    action === 'kill' ? killHooks(rooms, accepted) : liftHooks(rooms, accepted);

  async function ask(wish: ApprovalRequest, waitMs: number): Promise<KillOrder | Approval> {
    const answer = await answered<RequestAnswer>(
      (accepted) => inventory.approvals.request(wish, waitMs, hooksFor(wish.action, accepted)),
      (done) => ('order' in done ? done.order.number : undefined),
    );
    if ('number' in answer) return view(answer.number);
    if ('approval' in answer.done) return answer.done.approval;
    return view(answer.done.order.number);
  }
  async function given(work: (accepted: Accepted) => Promise<OrderDocument | Refused>): Promise<KillOrder> {
    const answer = await answered(work, orderNumber);
    return view('number' in answer ? answer.number : answer.done.number);
  }

  return {
    kill: (scope, reason, by) =>
      twoPersonWaitMs !== undefined && scope === everything
        ? ask({ action: 'kill', scope, reason, by, targets: killTargets(inventory) }, twoPersonWaitMs)
        : given((accepted) => giveKillOrder(rooms, { scope, reason, by }, accepted)),
    lift: (scope, reason, by) =>
      twoPersonWaitMs !== undefined
        ? ask({ action: 'lift', scope, reason, by, targets: [] }, twoPersonWaitMs)
        : given((accepted) => liftKillOrder(rooms, { scope, reason, by }, accepted)),
    confirm: async (id, by) => {
      const action = inventory.approvals.get(id)?.action ?? 'kill';
      const order = await given(async (accepted) => {
        const hooks = hooksFor(action, accepted);
        const done = await inventory.approvals.approve({ id, by, targets: killTargets(inventory) }, hooks);
        return 'refused' in done ? done : done.order;
      });
      return { action, order };
    },
  };
}

/** It waits neither for a second operator nor for the disk. */
export function isDone(answer: KillOrder | Approval): answer is KillOrder {
  return 'stored' in answer && answer.stored;
}

const ApprovalParams = Type.Object({ id: Type.String({ pattern: '^[0-9]{1,9}$' }) });
const OperatorParams = Type.Object({ operator: Type.String({ pattern: operatorPattern }) });

export function registerPeople(app: Server, { inventory, orders }: { inventory: Inventory; orders: Orders }): void {
  app.get('/v1/whoami', { schema: { response: { 200: Whoami } } }, (request) =>
    Promise.resolve({ name: request.operator }),
  );
  app.get(
    '/v1/operators',
    { schema: { response: { 200: Type.Object({ operators: Type.Array(Operator) }) } } },
    () => Promise.resolve({ operators: inventory.operators.all().map(({ name, createdAt }) => ({ name, createdAt })) }),
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

  app.get(
    '/v1/approvals',
    { schema: { response: { 200: Type.Object({ approvals: Type.Array(Approval) }) } } },
    () => Promise.resolve({ approvals: inventory.approvals.all() }),
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
