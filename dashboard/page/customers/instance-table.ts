// The containers of one customer. A row is built again only when it shows something else, and the table stays where it was
// scrolled to: while a customer is stopped, hundreds change within a second.
import type { Instance } from '../../../protocol/api/instances.ts';
import { badge, element, setText } from '../element.ts';
import { endpointLink } from '../rack/node-panel.ts';
import { clock } from '../words.ts';

/** Rows drawn for one customer; what does not run comes first, so that nothing of note is cut off. */
const rowLimit = 100;
const headings = ['Container', 'State', 'Node', 'Endpoint', 'Restarts', 'Since'];

export interface InstanceTable {
  root: HTMLElement;
  draw(instances: readonly Instance[]): void;
}

export function instanceTable(customer: string, showNode: (mac: string) => void): InstanceTable {
  let rows = new Map<string, { shown: string; row: HTMLElement }>();
  const body = element('tbody');
  const more = element('p', { class: 'muted' });
  const root = element(
    'div',
    { class: 'table', tabindex: 0, role: 'region', 'aria-label': `Containers of ${customer}` },
    element(
      'table',
      {},
      element('thead', {}, element('tr', {}, ...headings.map((text) => element('th', { scope: 'col' }, text)))),
      body,
    ),
    more,
  );

  function draw(instances: readonly Instance[]): void {
    const next: typeof rows = new Map();
    for (const instance of instances.slice(0, rowLimit)) {
      const shown = JSON.stringify(instance);
      const known = rows.get(instance.id);
      next.set(instance.id, known?.shown === shown ? known : { shown, row: rowOf(instance) });
    }
    rows = next;
    const wanted = [...rows.values()].map(({ row }) => row);
    const isSame = body.children.length === wanted.length && wanted.every((row, index) => body.children[index] === row);
    if (!isSame) body.replaceChildren(...wanted);
    const left = instances.length - wanted.length;
    more.hidden = left <= 0;
    setText(more, left <= 0 ? '' : `and ${left} more, all ${instances.at(-1)?.state ?? ''}`);
    root.hidden = instances.length === 0;
  }

  function rowOf(instance: Instance): HTMLElement {
    const node = element('button', { type: 'button', class: 'link', 'data-key': instance.id }, instance.nodeName);
    node.addEventListener('click', () => showNode(instance.node));
    const isUnready = instance.state === 'running' && !instance.ready;
    const why = instance.ready ? '' : isUnready ? instance.reason.replace(/^not ready: /, '') : instance.reason;
    return element(
      'tr',
      { 'data-testid': 'instance', 'data-instance': instance.id, 'data-state': instance.state },
      cell('Container', element('code', {}, instance.id)),
      cell(
        'State',
        isUnready ? badge('unready', 'not ready') : badge(instance.state, instance.state),
        ...(why === '' ? [] : [element('span', { class: 'muted' }, ` ${why}`)]),
      ),
      cell('Node', node),
      cell('Endpoint', endpointLink(instance)),
      cell('Restarts', String(instance.restarts)),
      cell('Since', clock(instance.since)),
    );
  }

  return { root, draw };
}

/** On a phone each row is a small block, and the label stands before the value. */
function cell(label: string, ...children: (Node | string)[]): HTMLElement {
  return element('td', { 'data-label': label }, ...children);
}
