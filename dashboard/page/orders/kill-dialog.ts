// Stopping a customer, or everything: the form, then the count of what has stopped; between them, where the two-person rule
// wants it, the wait for a second operator.
import type { KillOrder } from '../../../protocol/api/orders.ts';
import { byId } from '../element.ts';
import { change, waits, type OrderAnswer } from '../link/requests.ts';
import { everything, standingOrders, type Changes, type Message, type RackState } from '../rack-state.ts';
import { killCount } from './kill-count.ts';
import { killForm } from './kill-form.ts';
import { waitingPart } from './waiting-part.ts';

export interface KillDialog {
  /** A customer's name, or `*`. */
  open(scope: string): void;
  draw(changes: Changes): void;
  tick(): void;
}

export function killDialog({ state, hear }: { state: RackState; hear: (message: Message) => void }): KillDialog {
  const dialog = byId('kill-dialog', HTMLDialogElement);
  const form = killForm({ state, give });
  const count = killCount(state);
  const waiting = waitingPart({
    state,
    dialog: 'kill',
    settled() {
      const order = standingOrders(state).find((each) => each.scope === scope);
      if (order === undefined) return 'Nothing was stopped: it was withdrawn, or nobody approved it in time.';
      // Approved: from here on it is a kill like any other.
      follow(order, performance.now());
      return undefined;
    },
  });
  let scope = '';

  dialog.addEventListener('close', () => {
    count.end();
    waiting.end();
  });

  async function give(reason: string): Promise<string> {
    const sentFor = scope;
    const target = sentFor === everything ? { everything: true } : { customer: sentFor };
    const sentAt = performance.now();
    const outcome = await change<OrderAnswer>({ path: '/v1/kill', body: { ...target, reason } });
    if (!dialog.open || scope !== sentFor) return '';
    if ('refused' in outcome) return outcome.refused;
    if (!('done' in outcome)) return '';
    if (waits(outcome.done)) {
      hear({ kind: 'approval', data: outcome.done });
      form.hide();
      // Nothing has stopped: that must not be taken for a count that is about to begin.
      waiting.begin(outcome.done);
    } else follow(outcome.done, sentAt);
    return '';
  }

  function follow(order: KillOrder, sentAt: number): void {
    // The stream may have brought a later count of this order already.
    if (!state.kills.has(order.number)) hear({ kind: 'kill', data: order });
    waiting.end();
    form.hide();
    count.follow(order, sentAt);
  }

  return {
    open: (asked) => {
      scope = asked;
      count.end();
      waiting.end();
      form.open(asked);
      dialog.showModal();
      byId('kill-name', HTMLInputElement).focus();
    },
    draw: (changes) => {
      if (!dialog.open) return;
      if (changes.everything || changes.customers.size > 0) form.draw();
      if (!(changes.everything || changes.kills || changes.approvals)) return;
      count.draw();
      waiting.draw();
    },
    tick: () => {
      if (!dialog.open) return;
      count.draw();
      waiting.draw();
    },
  };
}
