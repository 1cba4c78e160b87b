// One kill order, board by board: from the stored order to the permit that left, to the confirmation, and by what
// evidence. It is read from the controller when it is opened, and again while its count moves.
import type { KillTimeline } from '../../protocol/api/orders.ts';
import { badge, byId, element, setText } from './element.ts';
import { evidenceWords, summaryWords, timelineView, type TimelineRow } from './order-timeline.ts';
import { everything, type Changes, type RackState } from './rack-state.ts';
import { read, readDocument } from './requests.ts';
import { holdBound, moment, some, span } from './words.ts';

/** A count that moves is read this often at most: 684 boards are 200 kB. */
const rereadMs = 500;

export interface OrderView {
  open(number: number): void;
  draw(changes: Changes): void;
  /** Once a second: bars of what is not confirmed grow. */
  tick(): void;
}

export function orderView({ state }: { state: RackState }): OrderView {
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

  function build(read: KillTimeline): void {
    const view = timelineView(read, Date.now());
    const who = read.scope === everything ? 'EVERYTHING' : read.scope;
    setText(title, `Order ${read.number}: ${who}`);
    const lifted =
      read.liftedAt === null
        ? ''
        : ` Lifted ${moment(read.liftedAt, Date.now())}${read.liftedBy === null ? '' : ` by ${read.liftedBy}`}.`;
    const axis = element(
      'div',
      { class: 'axis', 'aria-hidden': true },
      element('span', {}, '0'),
      ...(view.bound === undefined ? [] : [placed(element('span', { class: 'bound' }, '5 s'), 'left', view.bound)]),
      element('span', {}, span(view.scaleMs)),
    );
    body.replaceChildren(
      element(
        'p',
        {},
        badge(read.liftedAt === null ? 'killed' : 'stopped', read.liftedAt === null ? 'STANDS' : 'lifted'),
        ` Given ${moment(read.at, Date.now())} by ${read.by}: ${read.reason}.${lifted}`,
      ),
      element('p', { class: 'order-summary', 'data-testid': 'order-summary' }, summaryWords(read)),
      ...(read.holding.length === 0
        ? []
        : [element('p', { class: 'warning' }, `${some(read.holding)}: holds on silence. ${holdBound}`)]),
      ...(view.rows.length === 0
        ? []
        : [
            element(
              'p',
              { class: 'muted key' },
              keyOf('wait'),
              ' stored until sent ',
              keyOf('stop'),
              ' sent until confirmed',
            ),
            axis,
            element(
              'ol',
              {
                class: 'timeline',
                tabindex: 0,
                'aria-label': 'Boards, unconfirmed first, then the slowest',
                'data-testid': 'timeline',
              },
              ...view.rows.map((row) => rowOf(row, view.bound)),
            ),
          ]),
    );
  }

  byId('order-report', HTMLButtonElement).addEventListener('click', () => {
    if (shown === undefined) return;
    void readDocument(`/v1/kill/${shown}/report`).then((answer) => {
      if ('refused' in answer) setText(byId('order-refusal', HTMLElement), answer.refused);
      else element('a', { href: answer.value, target: '_blank', rel: 'noopener' }).click();
    });
  });

  return {
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

function rowOf(row: TimelineRow, bound: number | undefined): HTMLElement {
  const words = row.evidence === null ? undefined : evidenceWords[row.evidence];
  return element(
    'li',
    { 'data-evidence': row.evidence ?? 'none', 'data-late': row.late, 'data-testid': 'timeline-node' },
    element(
      'div',
      { class: 'row-head' },
      element('strong', {}, row.name),
      badge(`by-${row.evidence ?? 'none'}`, words?.short ?? 'unconfirmed'),
      element('span', { class: 'grow' }),
      element('span', { class: 'figure' }, row.figure),
    ),
    element(
      'div',
      { class: 'track', 'aria-hidden': true },
      placed(element('i', { class: 'wait' }), 'width', row.sent),
      placed(placed(element('i', { class: 'stop' }), 'left', row.sent), 'width', Math.max(0, row.end - row.sent)),
      ...(bound === undefined ? [] : [placed(element('b'), 'left', bound)]),
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

function placed<Kind extends HTMLElement>(target: Kind, side: 'left' | 'width', share: number): Kind {
  target.style.setProperty(side, `${(share * 100).toFixed(2)}%`);
  return target;
}
