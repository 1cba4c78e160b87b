// The page: hears the stream, keeps the state, and draws what has changed, at most once per frame.
import { approvalBanner } from './approval-banner.ts';
import { auditCard } from './audit-card.ts';
import { customerList } from './customer-list.ts';
import { drillCard } from './drill-card.ts';
import { byId, setText } from './element.ts';
import { eventLog } from './event-log.ts';
import { killDialog, liftDialog } from './kill-dialog.ts';
import { nodePanel } from './node-panel.ts';
import { orderBanner } from './order-banner.ts';
import { orderList } from './order-list.ts';
import { orderView } from './order-view.ts';
import { rackGrid } from './rack-grid.ts';
import {
  apply,
  counts,
  emptyState,
  everything,
  noChanges,
  standingOrders,
  type Changes,
  type Message,
} from './rack-state.ts';
import { takeTokenFromAddress } from './requests.ts';
import { followRack, type Connection } from './stream.ts';
import { clock } from './words.ts';

takeTokenFromAddress();

const state = emptyState();
let changes = noChanges();
let isDrawingAsked = false;
let chosen: string | undefined;

const head = byId('head', HTMLElement);
const alerts = byId('alerts', HTMLElement);
const kill = killDialog({ state, hear });
const lift = liftDialog({ state, hear });
const order = orderView({ state });
const showOrder = (number: number) => order.open(number);
const panel = nodePanel({ state, panel: byId('node', HTMLElement) });
const grid = rackGrid({
  state,
  grid: byId('rack', HTMLElement),
  legend: byId('legend', HTMLElement),
  tip: byId('tip', HTMLElement),
  find: byId('find', HTMLInputElement),
  empty: byId('rack-empty', HTMLElement),
  choose: chooseNode,
});
const customers = customerList({
  state,
  list: byId('customers', HTMLElement),
  empty: byId('customers-empty', HTMLElement),
  kill: (customer) => kill.open(customer),
  lift: (scope) => lift.open(scope),
  showNode: chooseNode,
  showOnRack: (customer) => grid.filter(customer),
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
  changed: showConnection,
  unlock: () => new Promise((resolve) => unlock.addEventListener('click', () => resolve(), { once: true })),
});

function hear(message: Message): void {
  apply(state, message, changes);
  if (isDrawingAsked) return;
  isDrawingAsked = true;
  requestAnimationFrame(draw);
}

function draw(): void {
  isDrawingAsked = false;
  const drawn = changes;
  changes = noChanges();
  drawHeader(drawn);
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
    if (first !== undefined) {
      chosen = first.mac;
      grid.show(first.mac);
      panel.show(first.mac);
    }
  } else panel.draw(drawn);
}

function drawHeader(drawn: Changes): void {
  if (drawn.everything && state.status !== undefined) {
    setText(byId('rack-name', HTMLElement), state.status.rack);
    setText(byId('version', HTMLElement), `version ${state.status.version}`);
  }
  if (!drawn.everything && !drawn.kills && drawn.nodes.size === 0 && drawn.customers.size === 0) return;
  const { nodes, total, instances, running } = counts(state);
  const standing = standingOrders(state);
  setText(byId('ready-count', HTMLElement), `${nodes.ready}/${total}`);
  setText(byId('running-count', HTMLElement), `${running}/${instances}`);
  setText(byId('order-count', HTMLElement), standing.length === 0 ? 'none' : String(standing.length));
  document.body.dataset['killed'] = String(standing.length > 0);
  document.body.dataset['ready'] = String(total > 0 && nodes.ready === total);
  const stopped = standing.map(({ scope }) => (scope === everything ? 'EVERYTHING' : scope));
  const killed = stopped.length === 0 ? '' : `KILLED ${stopped.slice(0, 3).join(', ')} · `;
  document.title = `${killed}${nodes.ready}/${total} ready · ${state.status?.rack ?? 'Muster'}`;
}

function showConnection(connection: Connection): void {
  if (document.body.dataset['connection'] === connection) return;
  unlock.hidden = connection !== 'locked';
  document.body.dataset['connection'] = connection;
  const words = {
    connecting: 'Connecting',
    live: 'Live',
    // What is on the page is old from here on, and must not be taken for the present.
    reconnecting: `Reconnecting: shown as of ${clock(Date.now())}`,
    locked: 'No operator’s token: nothing can be shown',
  };
  setText(byId('connection', HTMLElement), words[connection]);
}

function chooseNode(mac: string): void {
  chosen = mac;
  grid.show(mac);
  panel.show(mac);
  // On a narrow screen the panel is below the rack.
  if (matchMedia('(max-width: 1000px)').matches) byId('node', HTMLElement).scrollIntoView({ block: 'nearest' });
}
