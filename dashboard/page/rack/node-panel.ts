// One node in full. What changes each second is written in place; the rest is built anew only when it differs.
import type { Instance } from '../../../protocol/api/instances.ts';
import type { Node as RackNode } from '../../../protocol/api/nodes.ts';
import type { Sample } from '../../../protocol/api/samples.ts';
import { badge, element, setText } from '../element.ts';
import { bootProgress, bootSteps, instancesOn, isBooting, type Changes, type RackState } from '../rack-state.ts';
import { clock, duration, holdBound, some, webAddress } from '../words.ts';
import { nodeSample } from './node-sample.ts';

export interface NodePanel {
  show(mac: string): void;
  draw(changes: Changes): void;
  /** Once a second: how long it has been so. */
  tick(now: number): void;
}

export function nodePanel({ state, panel }: { state: RackState; panel: HTMLElement }): NodePanel {
  const since = element('span', { 'data-testid': 'node-since' });
  const figures = nodeSample();
  let shown: string | undefined;
  let built = '';

  function draw(changes: Changes): void {
    if (shown === undefined) return;
    if (changes.everything || changes.nodes.has(shown) || changes.customers.size > 0) build(shown);
    else if (changes.samples.has(shown)) figures.draw(sampleOf(state.nodes.get(shown)));
  }

  function build(mac: string): void {
    const node = state.nodes.get(mac);
    if (node === undefined) {
      built = '';
      panel.replaceChildren(element('p', { class: 'empty' }, `${mac} is no longer part of the rack.`));
      return;
    }
    const instances = instancesOn(state, mac);
    const { sample: _sample, lastHeartbeatAt, ...lasting } = node;
    const sample = sampleOf(node);
    const isStale = node.state === 'silent' || node.state === 'lost';
    const holding = node.customers.filter((name) => state.customers.get(name)?.onSilence === 'hold');
    const next = JSON.stringify([lasting, instances, holding, sample === null, isStale && lastHeartbeatAt]);
    if (next !== built) {
      built = next;
      figures.root.dataset['stale'] = String(isStale);
      panel.replaceChildren(
        heading(node),
        element('p', { class: 'reason', 'data-testid': 'node-reason' }, since, ` · ${node.reason}`),
        ...boot(node),
        ...(isStale && sample !== null ? [element('p', { class: 'muted' }, lastHeardWords(lastHeartbeatAt))] : []),
        figures.root,
        facts(node),
        instanceList(instances, holding),
      );
      tick(Date.now());
    }
    figures.draw(sample);
  }

  function tick(now: number): void {
    const node = shown === undefined ? undefined : state.nodes.get(shown);
    if (node !== undefined)
      setText(since, `${node.state} for ${duration(now - node.since)}, since ${clock(node.since)}`);
  }

  return {
    draw,
    tick,
    show: (mac) => {
      shown = mac;
      build(mac);
    },
  };
}

/** A node that starts anew is not what it was: what it last said of itself belongs to its life before. */
function sampleOf(node: RackNode | undefined): Sample | null {
  return node === undefined || isBooting(node) ? null : node.sample;
}

function lastHeardWords(at: number | null): string {
  return at === null ? 'As it was when it was last heard:' : `As it was when it was last heard, ${clock(at)}:`;
}

function heading(node: RackNode): HTMLElement {
  return element(
    'div',
    { class: 'card-head' },
    element('h2', { 'data-testid': 'node-name' }, node.name),
    element('span', { class: 'muted' }, `slot ${node.slot}`),
    ...(node.fenced ? [badge('fenced', 'F fenced')] : []),
    ...(node.placement === 'open' ? [] : [badge('cordoned', node.placement)]),
    badge(node.state, node.state),
  );
}

/** The way from the first packet to ready. A node that is ready has it behind it: one line tells how long it took. */
function boot(node: RackNode): HTMLElement[] {
  if (node.state === 'ready') {
    if (node.bootDurationMs === null) return [];
    return [element('p', { class: 'muted' }, `Booted in ${(node.bootDurationMs / 1000).toFixed(1)} s.`)];
  }
  if (node.state === 'silent' || node.state === 'lost') return [];
  const { done, current, stuck } = bootProgress(node);
  const steps = bootSteps.map((step, index) => {
    const where = step === current ? (stuck ? 'stuck' : 'now') : index < done ? 'done' : 'ahead';
    const item = element('li', { 'data-where': where }, step);
    if (step === current) item.setAttribute('aria-current', 'step');
    return item;
  });
  const name = current === node.stage ? '' : node.stage;
  return [
    element('ol', { class: 'steps', 'aria-label': 'Boot', 'data-testid': 'boot-steps' }, ...steps),
    ...(name === '' ? [] : [element('p', { class: stuck ? 'refusal' : 'muted' }, `Stage: ${name}`)]),
  ];
}

function facts(node: RackNode): HTMLElement {
  const rows: [string, string | null | undefined][] = [
    ['Address', node.ip],
    ['MAC', node.mac],
    ['Model', node.facts?.model],
    ['CPU', node.facts === null ? null : `${node.facts.cores} × ${node.facts.cpu}`],
    ['Kernel', node.facts?.kernel],
    ['Network', node.facts?.interfaces.map(linkWords).join(', ')],
    ['Firmware', node.firmware],
    ['Serial', node.serial],
    ['Boot id', node.bootId],
  ];
  return element(
    'dl',
    { class: 'facts', 'data-testid': 'node-facts' },
    ...rows.flatMap(([name, value]) =>
      value === null || value === undefined || value === ''
        ? []
        : [element('div', {}, element('dt', {}, name), element('dd', {}, value))],
    ),
  );
}

function linkWords({ name, ip, speedMbps }: NonNullable<RackNode['facts']>['interfaces'][number]): string {
  const speed = speedMbps === null || speedMbps <= 0 ? '' : ` ${speedMbps} Mbit/s`;
  return `${name}${ip === '' ? '' : ` ${ip}`}${speed}`;
}

/** A node has room for some dozens; more than this says more about the node than each line would. */
const shownLimit = 100;

function instanceList(instances: readonly Instance[], holding: readonly string[]): HTMLElement {
  const list = instances
    .slice(0, shownLimit)
    .map((instance) =>
      element(
        'li',
        {},
        badge(instance.state, instance.state),
        element('span', { class: 'grow' }, `${instance.customer}/${instance.workload}`),
        endpointLink(instance),
      ),
    );
  const more = instances.length > shownLimit ? [element('li', {}, `and ${instances.length - shownLimit} more`)] : [];
  return element(
    'div',
    { class: 'on-node' },
    element('h3', {}, instances.length === 0 ? 'No containers here' : `Containers (${instances.length})`),
    ...(holding.length === 0
      ? []
      : [
          element(
            'p',
            { class: 'warning', 'data-testid': 'node-holds' },
            `${some(holding)}: holds on silence. ${holdBound}`,
          ),
        ]),
    element('ul', { 'data-testid': 'node-instances' }, ...list, ...more),
  );
}

/** A link where it can be followed, else the text. */
export function endpointLink({ endpoint }: Instance): HTMLElement {
  const address = endpoint === null ? undefined : webAddress(endpoint);
  if (address === undefined) return element('span', { class: 'muted' }, endpoint ?? '');
  return element(
    'a',
    { href: address.href, target: '_blank', rel: 'noopener noreferrer', 'data-testid': 'endpoint' },
    address.host,
  );
}
