// One customer: whether it is stopped, the button that stops it, and, where the entry is open, what it runs.
import type { Customer } from '../../../protocol/api/customers.ts';
import type { Instance } from '../../../protocol/api/instances.ts';
import type { KillOrder } from '../../../protocol/api/orders.ts';
import type { Workload } from '../../../protocol/api/workloads.ts';
import { badge, element, setText } from '../element.ts';
import { everything } from '../rack-state.ts';
import { boundMs } from '../../../protocol/timing.ts';
import { bytes, holdBound, plural, seconds } from '../words.ts';
import { instanceTable } from './instance-table.ts';
import { workloadHistory, type WorkloadHistory } from './workload-history.ts';

export interface CustomerEntryOptions {
  name: string;
  open: boolean;
  kill: (customer: string) => void;
  lift: (scope: string) => void;
  showNode: (mac: string) => void;
  showOnRack: (customer: string) => void;
  /** It was opened or closed, and is to be drawn. */
  toggled: () => void;
}

export interface ShownCustomer {
  customer: Customer;
  /** The order that stops it now. */
  order: KillOrder | undefined;
  workloads: readonly Workload[];
  instances: readonly Instance[];
}

export interface CustomerEntry {
  root: HTMLElement;
  draw(shown: ShownCustomer): void;
}

export function customerEntry(options: CustomerEntryOptions): CustomerEntry {
  const { name, open } = options;
  const head = element('div', { class: 'customer-head' });
  const summary = element('summary');
  /** What the customer is, above its containers. */
  const about = element('div');
  const table = instanceTable(name, options.showNode);
  const body = element('div', { class: 'customer-body' }, about, table.root);
  const details = element('details', { open }, summary, body);
  // What becomes of the bound for a customer that holds: said whether its entry is open or not.
  const bound = element('p', { class: 'warning', 'data-testid': 'hold-bound' }, holdBound);
  const histories = new Map<string, WorkloadHistory>();
  const root = element(
    'article',
    { class: 'customer', 'aria-label': name, 'data-customer': name, 'data-testid': 'customer' },
    head,
    bound,
    details,
  );
  let drawn = '';
  details.addEventListener('toggle', options.toggled);

  function draw(shown: ShownCustomer): void {
    const { customer, order, workloads, instances } = shown;
    const isOpen = details.open;
    const next = JSON.stringify([customer, order?.number, workloads, isOpen && instances]);
    if (next === drawn) return;
    drawn = next;
    const focus = root.contains(document.activeElement) ? document.activeElement?.getAttribute('data-key') : null;

    const nodes = new Set(instances.map(({ node }) => node)).size;
    const running = instances.filter((each) => each.state === 'running').length;
    root.dataset['killed'] = String(order !== undefined);
    head.replaceChildren(...headOf(shown, options));
    bound.hidden = customer.onSilence !== 'hold';
    setText(summary, `${running}/${plural(instances.length, 'container')} running on ${plural(nodes, 'node')}`);
    if (isOpen) {
      about.replaceChildren(...aboutOf(shown, { showOnRack: options.showOnRack, histories }));
      table.draw(instances);
    }
    if (focus !== null && focus !== undefined) {
      const again = root.querySelector(`[data-key="${CSS.escape(focus)}"]`);
      if (again instanceof HTMLElement) again.focus({ preventScroll: true });
    }
  }

  return { root, draw };
}

function headOf({ customer, order }: ShownCustomer, { kill, lift }: CustomerEntryOptions): HTMLElement[] {
  const { name, onSilence } = customer;
  return [
    element('h3', {}, name),
    ...(order === undefined ? [] : [badge('killed', order.scope === everything ? 'KILLED with everything' : 'KILLED')]),
    ...(onSilence === 'hold' ? [badge('holds', 'holds on silence')] : []),
    element('span', { class: 'grow' }),
    order?.scope === name ? liftButton(name, lift) : killButton(name, kill),
  ];
}

function killButton(name: string, kill: (customer: string) => void): HTMLElement {
  const button = element(
    'button',
    { type: 'button', class: 'danger quiet', 'aria-haspopup': 'dialog', 'data-key': 'kill', 'data-testid': 'kill' },
    'Kill…',
  );
  button.setAttribute('aria-label', `Kill ${name}`);
  button.addEventListener('click', () => kill(name));
  return button;
}

function liftButton(name: string, lift: (scope: string) => void): HTMLElement {
  const button = element(
    'button',
    { type: 'button', 'aria-haspopup': 'dialog', 'data-key': 'lift', 'data-testid': 'lift' },
    'Lift…',
  );
  button.setAttribute('aria-label', `Lift the order on ${name}`);
  button.addEventListener('click', () => lift(name));
  return button;
}

interface Means {
  showOnRack: (customer: string) => void;
  /** Each stays as it is, open or not, while all around it is drawn anew. */
  histories: Map<string, WorkloadHistory>;
}

function aboutOf({ customer, workloads }: ShownCustomer, { showOnRack, histories }: Means): HTMLElement[] {
  for (const name of histories.keys()) if (!workloads.some((each) => each.name === name)) histories.delete(name);
  const limits = `At most ${bytes(customer.memoryBytes)} and ${customer.processes} processes a node.`;
  const find = element('button', { type: 'button', class: 'link', 'data-key': 'find' }, 'Show its nodes');
  find.addEventListener('click', () => showOnRack(customer.name));
  const silence =
    customer.onSilence === 'hold'
      ? `Holds on silence: it goes on where a node is cut off. Nodes that are heard stop it within ${seconds(boundMs)}.`
      : `Stops on silence: a node that is cut off stops it by itself, within ${seconds(boundMs)}.`;
  return [
    element('p', { class: 'muted', 'data-testid': 'on-silence' }, silence),
    element('p', { class: 'muted' }, `${limits} `, find),
    element('ul', { class: 'workloads' }, ...workloads.map((workload) => workloadLine(workload, histories))),
  ];
}

function workloadLine(workload: Workload, histories: Means['histories']): HTMLElement {
  const history = histories.get(workload.name) ?? workloadHistory(workload);
  histories.set(workload.name, history);
  history.draw(workload);
  const { name, image, replicas, running, ready, problem, port, stopped, revision, updated } = workload;
  const unready = ready < running ? `, ${ready} ready` : '';
  // A change on its way: the rest is as before, until those are ready that replace it.
  const changed = stopped || updated === ready ? '' : `, ${updated} of them as last changed`;
  const served = port === null ? '' : `, port ${port}`;
  const count = stopped
    ? `stopped, ${running} running (${replicas} when started)`
    : `${running} of ${replicas} running`;
  return element(
    'li',
    { 'data-testid': 'workload' },
    element('strong', {}, name),
    element('span', { class: 'muted' }, ` ${count}${unready}${changed} · ${image}${served} · revision ${revision}`),
    ...(problem === '' ? [] : [element('p', { class: 'warning' }, problem)]),
    history.root,
  );
}
