// What needs two operators: a kill of everything and any lift, where the two-person rule is on; stopping one customer never does.
import { setTimeout as realPause } from 'node:timers/promises';
import type { Approval } from '../../protocol/api/approvals.ts';
import type { KillOrder } from '../../protocol/api/orders.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { OrderHooks } from '../../inventory/orders/unstored-orders.ts';
import type { Refused } from '../../inventory/refused.ts';
import type { RequestAnswer, ApprovalRequest } from '../../inventory/operators/approvals.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import { giveKillOrder, killHooks, killTargets, liftHooks, liftKillOrder, notInForce } from '../kill/kill-order.ts';
import type { RollCall } from '../kill/roll-call/roll-call.ts';
import { orRefuse, RefusedError, shown } from './serving/http.ts';
import { orderView } from './views.ts';

export interface OrdersOptions {
  inventory: Inventory;
  rollCall: RollCall;
  /** How long a request waits for a second operator; undefined: one is enough for everything. */
  twoPersonWaitMs: number | undefined;
  pause?: (ms: number) => Promise<unknown>;
}

interface OrderRequest {
  /** A customer's name or `*`. */
  scope: string;
  reason: string;
  by: string;
}

/** Orders that are given, lifted, or left waiting for a second operator. Each method throws RefusedError. */
export interface Orders {
  kill(request: OrderRequest): Promise<KillOrder | Approval>;
  lift(request: OrderRequest): Promise<KillOrder | Approval>;
  approve(id: number, by: string): Promise<{ action: Approval['action']; order: KillOrder }>;
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
    const isLate = await notInForce(rollCall, pause);
    if (isLate !== undefined) throw new RefusedError(503, isLate.refused);
    const number = 'done' in first ? numberIn(first.done) : undefined;
    return number === undefined ? first : { number };
  }
  const orderNumber = ({ number }: OrderDocument) => number;
  const hooksFor = (action: ApprovalRequest['action'], accepted: Accepted) =>
    action === 'kill' ? killHooks(rooms, accepted) : liftHooks(rooms, accepted);

  async function ask(request: ApprovalRequest, waitMs: number): Promise<KillOrder | Approval> {
    const answer = await answered<RequestAnswer>(
      (accepted) => inventory.approvals.request(request, { waitMs, ...hooksFor(request.action, accepted) }),
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
    kill: ({ scope, reason, by }) =>
      twoPersonWaitMs !== undefined && scope === everything
        ? ask({ action: 'kill', scope, reason, by, targets: killTargets(inventory) }, twoPersonWaitMs)
        : given((accepted) => giveKillOrder(rooms, { scope, reason, by, accepted })),
    lift: ({ scope, reason, by }) =>
      twoPersonWaitMs !== undefined
        ? ask({ action: 'lift', scope, reason, by, targets: [] }, twoPersonWaitMs)
        : given((accepted) => liftKillOrder(rooms, { scope, reason, by, accepted })),
    approve: async (id, by) => {
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
