// One kill order, node by node: from the stored order to the permit that left, to the acknowledgement, and by what
// evidence. It is read from the controller when it is opened, and again while its count moves.
import type { KillTimeline } from '../../../protocol/api/orders.ts';
import { badge, byId, element, setText } from '../element.ts';
import { evidenceWords, summaryWords, timelineView, type TimelineRow, type TimelineView } from './order-timeline.ts';
import { everything, type Changes, type RackState } from '../rack-state.ts';
import { read, readDocument } from '../link/requests.ts';
import { holdBound, moment, some } from '../words.ts';

/** A count that moves is read this often at most: 684 nodes are 200 kB. */
const rereadMs = 500;

export interface OrderView {
  open(number: number): void;
  close(): void;
  isOpen(number: number): boolean;
  draw(changes: Changes): void;
  /** Once a second: bars of what is not acknowledged grow. */
  tick(): void;
}

export interface OrderViewOptions {
  state: RackState;
  /** The view was closed, by whatever. */
  closed: () => void;
}

export function orderView({ state, closed }: OrderViewOptions): OrderView {
  const dialog = byId('order-dialog', HTMLDialogElement);
  const body = byId('order-body', HTMLElement);
  const title = byId('order-title', HTMLElement);
  let shown: number | undefined;
  let order: KillTimeline | undefined;
  let rereading: ReturnType<typeof setTimeout> | undefined;
  /** What came of the stream since the last reading began. */
  let isStale = false;

  dialog.addEventListener('close', () => {
    shown = undefined;
    order = undefined;
    clearTimeout(rereading);
    rereading = undefined;
    closed();
  });

  async function load(number: number): Promise<void> {
    isStale = false;
    const answer = await read<KillTimeline>(`/v1/kill/${number}`);
    if (shown !== number) return;
    if ('refused' in answer) {
      // What was read before stays: it is old, and said to be.
      byId('order-refusal', HTMLElement).textContent = answer.refused;
    } else {
      setText(byId('order-refusal', HTMLElement), '');
      order = answer.value;
      build(order);
    }
    rereading = setTimeout(() => {
      rereading = undefined;
      if (isStale && shown !== undefined) void load(shown);
    }, rereadMs);
  }

  function build(told: KillTimeline): void {
    setText(title, `Order ${told.number}: ${told.scope === everything ? 'EVERYTHING' : told.scope}`);
    body.replaceChildren(...contentsOf(told));
  }

  byId('order-report', HTMLButtonElement).addEventListener('click', () => {
    if (shown === undefined) return;
    void readDocument(`/v1/kill/${shown}/report`).then((answer) => {
      if ('refused' in answer) setText(byId('order-refusal', HTMLElement), answer.refused);
      else element('a', { href: answer.value, target: '_blank', rel: 'noopener' }).click();
    });
  });

  return {
    close: () => dialog.close(),
    isOpen: (number) => shown === number,
    open: (number) => {
      shown = number;
      order = undefined;
      clearTimeout(rereading);
      rereading = undefined;
      setText(title, `Order ${number}`);
      setText(byId('order-refusal', HTMLElement), '');
      body.replaceChildren(element('p', { class: 'empty' }, 'Reading…'));
      if (!dialog.open) dialog.showModal();
      byId('order-close', HTMLButtonElement).focus();
      void load(number);
    },
    draw: (changes) => {
      if (shown === undefined || (!changes.everything && !changes.kills)) return;
      const latest = state.kills.get(shown);
      if (order !== undefined && latest?.stopped === order.stopped && latest.liftedAt === order.liftedAt) return;
      isStale = true;
      rereading ??= setTimeout(() => {
        rereading = undefined;
        if (shown !== undefined) void load(shown);
      }, rereadMs);
    },
    tick: () => {
      if (order !== undefined && order.liftedAt === null && order.stopped < order.nodes) build(order);
    },
  };
}

function contentsOf(told: KillTimeline): HTMLElement[] {
  const view = timelineView(told, Date.now());
  const lifted =
    told.liftedAt === null
      ? ''
      : ` Lifted ${moment(told.liftedAt, Date.now())}${told.liftedBy === null ? '' : ` by ${told.liftedBy}`}.`;
  const head = [
    element(
      'p',
      {},
      badge(told.liftedAt === null ? 'killed' : 'stopped', told.liftedAt === null ? 'STANDS' : 'lifted'),
      ` Given ${moment(told.at, Date.now())} by ${told.by}: ${told.reason}.${lifted}`,
    ),
    element('p', { class: 'order-summary', 'data-testid': 'order-summary' }, summaryWords(told)),
    ...(told.holding.length === 0
      ? []
      : [element('p', { class: 'warning' }, `${some(told.holding)}: holds on silence. ${holdBound}`)]),
  ];
  if (view.rows.length === 0) return head;
  return [
    ...head,
    element(
      'p',
      { class: 'muted key' },
      keyOf('wait'),
      ' stored until sent ',
      keyOf('stop'),
      ' sent until acknowledged',
    ),
    axisOf(view.ticks),
    element(
      'ol',
      {
        class: 'timeline',
        tabindex: 0,
        'aria-label': 'Nodes, those without evidence first, then the slowest',
        'data-testid': 'timeline',
      },
      ...view.rows.map((row) => rowOf(row, view.bound)),
    ),
  ];
}

function axisOf(ticks: TimelineView['ticks']): HTMLElement {
  const marks = ticks.map(({ words, at, isBound }) => {
    const side = at < 0.1 ? 'start' : at > 0.9 ? 'end' : 'middle';
    const tick = element('span', { class: isBound ? 'tick bound' : 'tick', 'data-side': side }, words);
    return placed(tick, { left: at });
  });
  return element('div', { class: 'axis', 'aria-hidden': true }, ...marks);
}

function rowOf(row: TimelineRow, bound: number | undefined): HTMLElement {
  const words = row.evidence === null ? undefined : evidenceWords[row.evidence];
  return element(
    'li',
    { 'data-evidence': row.evidence ?? 'none', 'data-late': row.late, 'data-testid': 'timeline-node' },
    element(
      'div',
      { class: 'row-head' },
      element('strong', {}, row.name),
      badge(`by-${row.evidence ?? 'none'}`, words?.short ?? 'not acknowledged'),
      element('span', { class: 'grow' }),
      element('span', { class: 'figure' }, row.figure),
    ),
    element(
      'div',
      { class: 'track', 'aria-hidden': true },
      placed(element('i', { class: 'wait' }), { width: row.sent }),
      placed(element('i', { class: 'stop' }), { left: row.sent, width: Math.max(0, row.end - row.sent) }),
      ...(bound === undefined ? [] : [placed(element('b'), { left: bound })]),
    ),
    element('p', { class: 'muted' }, row.words),
    ...(row.escalation.length === 0
      ? []
      : [
          element(
            'ol',
            { class: 'escalation', 'aria-label': 'Escalation' },
            ...row.escalation.map((step) => element('li', {}, step)),
          ),
        ]),
  );
}

function keyOf(kind: string): HTMLElement {
  return element('i', { class: `key-swatch ${kind}`, 'aria-hidden': true });
}

/** By shares of the track. */
function placed<Kind extends HTMLElement>(target: Kind, shares: { left?: number; width?: number }): Kind {
  for (const [side, share] of Object.entries(shares)) target.style.setProperty(side, `${(share * 100).toFixed(2)}%`);
  return target;
}
