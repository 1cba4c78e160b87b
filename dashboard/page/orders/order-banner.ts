// Kill orders that stand, across the page in red: nobody may mistake a stopped customer for a broken one.
import type { KillOrder } from '../../../protocol/api/orders.ts';
import { element, setText } from '../element.ts';
import { everything, killProgress, standingOrders, type Changes, type RackState } from '../rack-state.ts';
import { holdBound, moment, some } from '../words.ts';

/** More than these are counted, not shown one by one; each customer's entry still says that it is killed. */
const shownLimit = 6;

interface Banner {
  root: HTMLElement;
  count: HTMLElement;
  unacknowledged: HTMLElement;
}

export interface OrderBannerOptions {
  state: RackState;
  section: HTMLElement;
  lift: (scope: string) => void;
  /** Opens the timeline of an order. */
  show: (number: number) => void;
}

export function orderBanner(options: OrderBannerOptions): { draw(changes: Changes): void } {
  const { state, section } = options;
  const banners = new Map<number, Banner>();
  const rest = element('p', { class: 'order more' });

  function draw(changes: Changes): void {
    if (!changes.everything && !changes.kills) return;
    const standing = standingOrders(state);
    const shown = standing.slice(0, shownLimit);
    for (const [number, { root }] of banners) {
      if (shown.some((order) => order.number === number)) continue;
      root.remove();
      banners.delete(number);
    }
    for (const [index, order] of shown.entries()) {
      const banner = banners.get(order.number) ?? build(order, options);
      banners.set(order.number, banner);
      const { done, count, unacknowledged } = killProgress(order);
      setText(banner.count, order.nodes === 0 ? 'no node had it' : count);
      setText(banner.unacknowledged, unacknowledged);
      banner.root.dataset['done'] = String(done);
      const follows = section.children[index] ?? null;
      if (follows !== banner.root) section.insertBefore(banner.root, follows);
    }
    setText(rest, `and ${standing.length - shown.length} more orders stand`);
    if (standing.length > shown.length) section.append(rest);
    else rest.remove();
  }

  return { draw };
}

function build(order: KillOrder, { lift, show }: Pick<OrderBannerOptions, 'lift' | 'show'>): Banner {
  const name = order.scope === everything ? 'EVERYTHING' : order.scope;
  const words = element('p', { class: 'order-words', role: 'alert' });
  words.append(element('strong', {}, `KILLED: ${name}`), ` since ${moment(order.at, Date.now())} — ${order.reason}`);
  const count = element('p', { class: 'order-count', 'data-testid': 'order-progress' });
  const unacknowledged = element('p', { class: 'order-unacknowledged', 'data-testid': 'order-unacknowledged' });
  const button = element('button', { type: 'button', 'aria-haspopup': 'dialog', 'data-testid': 'order-lift' });
  button.textContent = 'Lift…';
  button.setAttribute('aria-label', `Lift the order on ${name}`);
  button.addEventListener('click', () => lift(order.scope));
  const timeline = element('button', { type: 'button', 'aria-haspopup': 'dialog', 'data-testid': 'order-show' });
  timeline.textContent = 'Timeline…';
  timeline.setAttribute('aria-label', `Timeline of order ${order.number}, ${name}`);
  timeline.addEventListener('click', () => show(order.number));
  const holding =
    order.holding.length === 0
      ? []
      : [
          element(
            'p',
            { class: 'order-holding', 'data-testid': 'order-holding' },
            `${some(order.holding)}: holds on silence. ${holdBound}`,
          ),
        ];
  const root = element(
    'div',
    { class: 'order', 'data-scope': order.scope, 'data-testid': 'order' },
    words,
    count,
    unacknowledged,
    ...holding,
    timeline,
    button,
  );
  return { root, count, unacknowledged };
}
