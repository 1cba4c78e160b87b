// The last kill orders, standing and lifted; each opens its timeline.
import type { KillOrder } from '../../../protocol/api/orders.ts';
import { badge, element } from '../element.ts';
import { everything, killProgress, type Changes, type RackState } from '../rack-state.ts';
import { moment } from '../words.ts';

/** The stream has the last fifty that were lifted; this many are drawn. */
const shownLimit = 20;

export interface OrderListOptions {
  state: RackState;
  list: HTMLElement;
  empty: HTMLElement;
  show: (number: number) => void;
}

export function orderList({ state, list, empty, show }: OrderListOptions): { draw(changes: Changes): void } {
  let drawn = '';

  function draw(changes: Changes): void {
    if (!changes.everything && !changes.kills) return;
    const orders = [...state.kills.values()].toSorted((a, b) => b.number - a.number).slice(0, shownLimit);
    const next = JSON.stringify(orders);
    if (next === drawn) return;
    drawn = next;
    const focus = list.contains(document.activeElement) ? document.activeElement?.getAttribute('data-number') : null;
    empty.hidden = orders.length > 0;
    list.replaceChildren(...orders.map(line));
    if (focus === null || focus === undefined) return;
    const again = list.querySelector(`[data-number="${CSS.escape(focus)}"]`);
    if (again instanceof HTMLElement) again.focus({ preventScroll: true });
  }

  function line(order: KillOrder): HTMLElement {
    const { number, scope, reason, by, at, liftedAt, nodes } = order;
    const stands = liftedAt === null;
    const name = scope === everything ? 'everything' : scope;
    const button = element(
      'button',
      { type: 'button', class: 'link', 'aria-haspopup': 'dialog', 'data-number': number, 'data-testid': 'order-open' },
      `Order ${number}: ${name}`,
    );
    button.addEventListener('click', () => show(number));
    const { count, unacknowledged } = killProgress(order);
    return element(
      'li',
      { 'data-testid': 'order-line' },
      element(
        'div',
        { class: 'row-head' },
        button,
        badge(stands ? 'killed' : 'stopped', stands ? 'STANDS' : 'lifted'),
        element('span', { class: 'grow' }),
        element('span', { class: 'figure' }, nodes === 0 ? 'no node had it' : count),
      ),
      element('p', { class: 'muted' }, `${moment(at, Date.now())} by ${by}: ${reason}`),
      ...(unacknowledged === '' ? [] : [element('p', { class: 'unacknowledged' }, unacknowledged)]),
    );
  }

  return { draw };
}
