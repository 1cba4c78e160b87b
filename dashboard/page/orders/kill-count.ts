// The count of an order that was just given, live until every node has stopped it.
import type { KillOrder } from '../../../protocol/api/orders.ts';
import { byId, meter, setMeter, setText } from '../element.ts';
import { boundMs } from '../../../protocol/timing.ts';
import { killProgress, type RackState } from '../rack-state.ts';
import { seconds } from '../words.ts';
import { nameOf } from './kill-form.ts';

export interface KillCount {
  /** `sentAt`: on the page's monotonic clock. */
  follow(order: KillOrder, sentAt: number): void;
  end(): void;
  draw(): void;
}

export function killCount(state: RackState): KillCount {
  const root = byId('kill-progress', HTMLElement);
  const title = byId('kill-progress-title', HTMLElement);
  const bar = meter(0, 'Nodes that have stopped it');
  byId('kill-meter', HTMLElement).replaceChildren(bar);
  let following: { number: number; sentAt: number } | undefined;

  function draw(): void {
    const order = following === undefined ? undefined : state.kills.get(following.number);
    if (order === undefined || following === undefined) return;
    const { done, count, unacknowledged } = killProgress(order);
    const late = !done && performance.now() - following.sentAt > boundMs;
    root.dataset['outcome'] = done ? 'done' : late ? 'late' : 'running';
    setText(title, `${done ? 'Stopped' : 'Stopping'} ${nameOf(order.scope)}`);
    setText(byId('kill-count', HTMLElement), order.nodes === 0 ? 'No node was running it.' : count);
    setText(
      byId('kill-unacknowledged', HTMLElement),
      unacknowledged === '' ? '' : late ? `After ${seconds(boundMs)}. ${unacknowledged}` : unacknowledged,
    );
    setMeter(bar, order.nodes === 0 ? 1 : order.stopped / order.nodes);
  }

  return {
    follow(order, sentAt) {
      following = { number: order.number, sentAt };
      root.hidden = false;
      setText(title, `Stopping ${nameOf(order.scope)}`);
      draw();
      byId('kill-close', HTMLButtonElement).focus();
    },
    end() {
      following = undefined;
      root.hidden = true;
    },
    draw,
  };
}
