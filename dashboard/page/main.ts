// The page: hears the stream, keeps the state, and draws what has changed, at most once per frame.
import type { Status } from '../../protocol/api/status.ts';
import { approvalBanner } from './orders/approval-banner.ts';
import { auditCard } from './audit-card.ts';
import { customerList } from './customers/customer-list.ts';
import { returnFocus } from './dialog-focus.ts';
import { drillCard } from './orders/drill-card.ts';
import { byId } from './element.ts';
import { eventLog } from './event-log.ts';
import { header } from './header.ts';
import { killDialog } from './orders/kill-dialog.ts';
import { liftDialog } from './orders/lift-dialog.ts';
import { nodePanel } from './rack/node-panel.ts';
import { orderBanner } from './orders/order-banner.ts';
import { orderList } from './orders/order-list.ts';
import { orderView } from './orders/order-view.ts';
import { RackGrid } from './rack/rack-grid.ts';
import { apply, emptyState, everything, noChanges, type Message } from './rack-state.ts';
import { read } from './link/requests.ts';
import { followRack } from './link/stream.ts';
import { takeTokenFromAddress } from './link/token.ts';
import { hashOf, viewOf, type View } from './view-address.ts';

takeTokenFromAddress();

/** The controller's own troubles come with no change of the stream. */
const statusIntervalMs = 15_000;

const state = emptyState();
let changes = noChanges();
let isDrawingAsked = false;
let view = viewOf(location.hash);
/** The node of the view, or the first there is. */
let chosen: string | undefined;
let isViewShown = false;
let isSnapshotHeard = false;

returnFocus(document.querySelectorAll('dialog'));
const top = header(state);
const head = byId('head', HTMLElement);
const alerts = byId('alerts', HTMLElement);
const kill = killDialog({ state, hear });
const lift = liftDialog({ state, hear });
const order = orderView({ state, closed: () => look({ order: undefined }, 'push') });
const showOrder = (number: number) => {
  look({ order: number }, 'push');
  order.open(number);
};
const panel = nodePanel({ state, panel: byId('node', HTMLElement) });
const grid = new RackGrid({
  state,
  grid: byId('rack', HTMLElement),
  legend: byId('legend', HTMLElement),
  tip: byId('tip', HTMLElement),
  find: byId('find', HTMLInputElement),
  found: byId('found', HTMLElement),
  empty: byId('rack-empty', HTMLElement),
  choose: chooseNode,
  filtered: (find, only) => look({ find, only }, only === view.only ? 'replace' : 'push'),
});
const customers = customerList({
  state,
  list: byId('customers', HTMLElement),
  empty: byId('customers-empty', HTMLElement),
  kill: (customer) => kill.open(customer),
  lift: (scope) => lift.open(scope),
  showNode: chooseNode,
  showOnRack: (customer) => {
    look({ find: customer, only: undefined }, 'push');
    grid.filter(customer, undefined);
    byId('find', HTMLInputElement).scrollIntoView({ block: 'nearest' });
  },
});
const banner = orderBanner({
  state,
  section: byId('orders', HTMLElement),
  lift: (scope) => lift.open(scope),
  show: showOrder,
});
const waiting = approvalBanner({ state, section: byId('approvals', HTMLElement), show: showOrder });
const list = orderList({
  state,
  list: byId('order-list', HTMLElement),
  empty: byId('order-list-empty', HTMLElement),
  show: showOrder,
});
const drills = drillCard({ state, body: byId('drills', HTMLElement), showOrder });
auditCard({ button: byId('audit-verify', HTMLButtonElement), body: byId('audit', HTMLElement) });
const log = eventLog({
  state,
  list: byId('events', HTMLElement),
  filter: byId('event-filter', HTMLInputElement),
  empty: byId('events-empty', HTMLElement),
  filtered: (events) => look({ events }, 'replace'),
});

byId('kill-everything', HTMLButtonElement).addEventListener('click', () => kill.open(everything));
for (const button of document.querySelectorAll('dialog [data-close]'))
  button.addEventListener('click', () => button.closest('dialog')?.close());
setInterval(() => {
  panel.tick(Date.now());
  kill.tick();
  lift.tick();
  order.tick();
  waiting.tick();
}, 1_000);

// What stays at the top grows with the kill orders; what sticks or jumps below it has to know. On a phone the head is
// no box of its own, and the orders alone stay.
const stays = new ResizeObserver(() => {
  const height = head.offsetHeight === 0 ? alerts.offsetHeight : head.offsetHeight;
  document.documentElement.style.setProperty('--head', `${height}px`);
});
stays.observe(head);
stays.observe(alerts);

const unlock = byId('unlock', HTMLButtonElement);
void followRack({
  hear,
  changed: (connection) => {
    isSnapshotHeard = connection === 'live';
    // What is shown is what is only once it is drawn.
    if (!isSnapshotHeard) top.connection(connection);
  },
  unlock: () => new Promise((resolve) => unlock.addEventListener('click', () => resolve(), { once: true })),
});

function hear(message: Message): void {
  apply(message, { state, changes });
  if (isDrawingAsked) return;
  isDrawingAsked = true;
  requestAnimationFrame(draw);
}

function draw(): void {
  isDrawingAsked = false;
  const drawn = changes;
  changes = noChanges();
  top.draw(drawn);
  waiting.draw(drawn);
  banner.draw(drawn);
  list.draw(drawn);
  drills.draw(drawn);
  order.draw(drawn);
  grid.draw(drawn);
  customers.draw(drawn);
  log.draw(drawn);
  kill.draw(drawn);
  lift.draw(drawn);
  if (chosen === undefined) {
    const [first] = [...state.nodes.values()].toSorted((a, b) => a.slot - b.slot);
    if (first !== undefined) mark(view.node ?? first.mac);
  } else panel.draw(drawn);
  if (drawn.everything && !isViewShown) showView();
  if (isSnapshotHeard) top.connection('live');
}

/** Shows what the address says; before there is a rack there is nothing to show. */
function showView(): void {
  isViewShown = true;
  grid.filter(view.find, view.only);
  log.filter(view.events);
  if (view.node !== undefined && view.node !== chosen) mark(view.node);
  if (view.order === undefined) order.close();
  else if (!order.isOpen(view.order)) order.open(view.order);
}

/** Notes in the address what is looked at. `push`: the browser's button leads back to what was looked at before. */
function look(part: Partial<View>, how: 'push' | 'replace'): void {
  view = { ...view, ...part };
  const next = hashOf(view);
  if (next === location.hash) return;
  const address = `${location.pathname}${location.search}${next}`;
  if (how === 'push') history.pushState(null, '', address);
  else history.replaceState(null, '', address);
}

addEventListener('popstate', () => {
  takeTokenFromAddress();
  view = viewOf(location.hash);
  if (isViewShown) showView();
});

// The address behind the `#` is the view's: links within the page scroll without it.
for (const link of document.querySelectorAll('a[href^="#"]'))
  link.addEventListener('click', (event) => {
    event.preventDefault();
    const target = document.getElementById(link.getAttribute('href')?.slice(1) ?? '');
    target?.scrollIntoView({ block: 'start' });
    const stop = target?.hasAttribute('tabindex') === true ? target : target?.querySelector('[tabindex="0"]');
    if (stop instanceof HTMLElement) stop.focus({ preventScroll: true });
  });

setInterval(() => {
  if (document.body.dataset['connection'] !== 'live') return;
  void read<Status>('/v1/status').then((answer) => {
    if ('value' in answer) hear({ kind: 'status', data: answer.value });
  });
}, statusIntervalMs);

function mark(mac: string): void {
  chosen = mac;
  grid.show(mac);
  panel.show(mac);
}

function chooseNode(mac: string): void {
  look({ node: mac }, 'push');
  mark(mac);
  // On a narrow screen the panel is below the rack.
  if (matchMedia('(max-width: 1000px)').matches) byId('node', HTMLElement).scrollIntoView({ block: 'nearest' });
}
