// Customers, what they run, and the button that stops them.
import type { Customer } from '../../../protocol/api/customers.ts';
import type { Instance } from '../../../protocol/api/instances.ts';
import type { Workload } from '../../../protocol/api/workloads.ts';
import { badge, element, setText } from '../element.ts';
import { instanceTable, type InstanceTable } from './instance-table.ts';
import {
  customersByName,
  everything,
  instancesByCustomer,
  orderOf,
  workloadsOf,
  type Changes,
  type RackState,
} from '../rack-state.ts';
import { boundMs } from '../../../protocol/timing.ts';
import { bytes, holdBound, plural, seconds } from '../words.ts';

/** With so few customers, all are shown open. */
const openLimit = 4;

interface Entry {
  root: HTMLElement;
  head: HTMLElement;
  /** What becomes of the bound for a customer that holds: said whether its entry is open or not. */
  bound: HTMLElement;
  details: HTMLDetailsElement;
  summary: HTMLElement;
  /** What the customer is, above its containers. */
  about: HTMLElement;
  drawn: string;
  table: InstanceTable;
}

export interface CustomerListOptions {
  state: RackState;
  list: HTMLElement;
  empty: HTMLElement;
  kill: (customer: string) => void;
  lift: (scope: string) => void;
  showNode: (mac: string) => void;
  showOnRack: (customer: string) => void;
}

export interface CustomerList {
  draw(changes: Changes): void;
}

export function customerList(options: CustomerListOptions): CustomerList {
  const { state, list, empty, kill, lift, showNode, showOnRack } = options;
  const entries = new Map<string, Entry>();

  function draw(changes: Changes): void {
    if (!changes.everything && !changes.kills && changes.customers.size === 0) return;
    const customers = customersByName(state);
    const instances = instancesByCustomer(state);
    empty.hidden = customers.length > 0;
    for (const [name, entry] of entries) {
      if (state.customers.has(name)) continue;
      entry.root.remove();
      entries.delete(name);
    }
    let before: HTMLElement | undefined;
    for (const customer of customers) {
      const entry = entryOf(customer.name, customers.length <= openLimit);
      const follows = before === undefined ? list.firstElementChild : before.nextElementSibling;
      if (follows !== entry.root) list.insertBefore(entry.root, follows);
      before = entry.root;
      if (changes.everything || changes.kills || changes.customers.has(customer.name))
        drawEntry(entry, customer, instances.get(customer.name) ?? []);
    }
  }

  function entryOf(name: string, open: boolean): Entry {
    const known = entries.get(name);
    if (known !== undefined) return known;
    const head = element('div', { class: 'customer-head' });
    const summary = element('summary');
    const about = element('div');
    const table = instanceTable(name, showNode);
    const body = element('div', { class: 'customer-body' }, about, table.root);
    const details = element('details', { open }, summary, body);
    const bound = element('p', { class: 'warning', 'data-testid': 'hold-bound' }, holdBound);
    const root = element(
      'article',
      { class: 'customer', 'aria-label': name, 'data-customer': name, 'data-testid': 'customer' },
      head,
      bound,
      details,
    );
    const entry = { root, head, bound, details, summary, about, table, drawn: '' };
    details.addEventListener('toggle', () => {
      const customer = state.customers.get(name);
      if (customer !== undefined) drawEntry(entry, customer, instancesByCustomer(state).get(name) ?? []);
    });
    entries.set(name, entry);
    return entry;
  }

  function drawEntry(entry: Entry, customer: Customer, instances: readonly Instance[]): void {
    const order = orderOf(state, customer.name);
    const workloads = workloadsOf(state, customer.name);
    const isOpen = entry.details.open;
    const next = JSON.stringify([customer, order?.number, workloads, isOpen && instances]);
    if (next === entry.drawn) return;
    entry.drawn = next;
    const focus = entry.root.contains(document.activeElement) ? document.activeElement?.getAttribute('data-key') : null;

    const nodes = new Set(instances.map(({ node }) => node)).size;
    const running = instances.filter((each) => each.state === 'running').length;
    entry.root.dataset['killed'] = String(order !== undefined);
    entry.head.replaceChildren(
      element('h3', {}, customer.name),
      ...(order === undefined
        ? []
        : [badge('killed', order.scope === everything ? 'KILLED with everything' : 'KILLED')]),
      ...(customer.onSilence === 'hold' ? [badge('holds', 'holds on silence')] : []),
      element('span', { class: 'grow' }),
      ...(order?.scope === customer.name ? [liftButton(customer.name)] : [killButton(customer.name)]),
    );
    entry.bound.hidden = customer.onSilence !== 'hold';
    setText(entry.summary, `${running}/${plural(instances.length, 'container')} running on ${plural(nodes, 'node')}`);
    if (isOpen) {
      entry.about.replaceChildren(...aboutOf(customer, workloads));
      entry.table.draw(instances);
    }
    if (focus !== null && focus !== undefined) {
      const again = entry.root.querySelector(`[data-key="${CSS.escape(focus)}"]`);
      if (again instanceof HTMLElement) again.focus({ preventScroll: true });
    }
  }

  function killButton(name: string): HTMLElement {
    const button = element(
      'button',
      { type: 'button', class: 'danger quiet', 'aria-haspopup': 'dialog', 'data-key': 'kill', 'data-testid': 'kill' },
      'Kill…',
    );
    button.setAttribute('aria-label', `Kill ${name}`);
    button.addEventListener('click', () => kill(name));
    return button;
  }

  function liftButton(name: string): HTMLElement {
    const button = element(
      'button',
      { type: 'button', 'aria-haspopup': 'dialog', 'data-key': 'lift', 'data-testid': 'lift' },
      'Lift…',
    );
    button.setAttribute('aria-label', `Lift the order on ${name}`);
    button.addEventListener('click', () => lift(name));
    return button;
  }

  function aboutOf(customer: Customer, workloads: readonly Workload[]): HTMLElement[] {
    const limits = `At most ${bytes(customer.memoryBytes)} and ${customer.processes} processes a node.`;
    const find = element('button', { type: 'button', class: 'link', 'data-key': 'find' }, 'Show its nodes');
    find.addEventListener('click', () => showOnRack(customer.name));
    const silence =
      customer.onSilence === 'hold'
        ? element(
            'p',
            { class: 'muted', 'data-testid': 'on-silence' },
            `Holds on silence: it goes on where a node is cut off. Nodes that are heard stop it within ${seconds(boundMs)}.`,
          )
        : element(
            'p',
            { class: 'muted', 'data-testid': 'on-silence' },
            `Stops on silence: a node that is cut off stops it by itself, within ${seconds(boundMs)}.`,
          );
    return [
      silence,
      element('p', { class: 'muted' }, `${limits} `, find),
      element('ul', { class: 'workloads' }, ...workloads.map(workloadLine)),
    ];
  }

  return { draw };
}

function workloadLine({ name, image, replicas, running, problem, port }: Workload): HTMLElement {
  const served = port === null ? '' : `, port ${port}`;
  return element(
    'li',
    { 'data-testid': 'workload' },
    element('strong', {}, name),
    element('span', { class: 'muted' }, ` ${running} of ${replicas} running · ${image}${served}`),
    ...(problem === '' ? [] : [element('p', { class: 'warning' }, problem)]),
  );
}
