// The rack as a grid of slots: in order, searched, walked through by keys.
import type { Node as RackNode } from '../../../protocol/api/nodes.ts';
import { setText } from '../element.ts';
import { counts, slotsOf, type Changes, type RackState } from '../rack-state.ts';
import type { Only } from '../view-address.ts';
import { neighbour } from './neighbour.ts';
import { emptySlot, macOf, rackCell, type Density, type RackCell } from './rack-cell.ts';
import { rackLegend, type RackLegend } from './rack-legend.ts';
import { rackTip, type RackTip } from './rack-tip.ts';

/** Up to so many nodes there is room to say more about each. */
const cardLimit = 24;

export interface RackGridOptions {
  state: RackState;
  grid: HTMLElement;
  legend: HTMLElement;
  tip: HTMLElement;
  find: HTMLInputElement;
  found: HTMLElement;
  empty: HTMLElement;
  choose: (mac: string) => void;
  /** Somebody searches for something else, or wants to see one state only. */
  filtered: (find: string, only: Only | undefined) => void;
}

export class RackGrid {
  readonly #options: RackGridOptions;
  readonly #cells = new Map<string, RackCell>();
  readonly #legend: RackLegend;
  readonly #tip: RackTip;
  /** MACs by slot. */
  #order: string[] = [];
  #layout = '';
  #density: Density | undefined;
  #chosen: string | undefined;
  /** The one cell that Tab reaches. */
  #reachable: string | undefined;
  #only: Only | undefined;

  constructor(options: RackGridOptions) {
    this.#options = options;
    const { state, legend, tip, find, filtered } = options;
    this.#tip = rackTip({ state, tip });
    this.#legend = rackLegend({
      legend,
      pressed: (name) => {
        this.#setOnly(this.#only === name ? undefined : name);
        filtered(find.value, this.#only);
      },
    });
    this.#listenToCells();
    this.#listenToSearch();
  }

  draw(changes: Changes): void {
    const { state, find } = this.#options;
    if (changes.everything || changes.nodes.size > 0) {
      this.#place();
      for (const mac of changes.everything ? state.nodes.keys() : changes.nodes) {
        const node = state.nodes.get(mac);
        if (node !== undefined) this.#cells.get(mac)?.draw(node);
      }
      this.#legend.draw(counts(state));
      if (find.value !== '' || this.#only !== undefined) this.#fade();
    }
    for (const mac of changes.samples) {
      const node = state.nodes.get(mac);
      if (node !== undefined) this.#cells.get(mac)?.drawSample(node);
    }
    this.#tip.draw();
  }

  /** Marks the node as chosen and brings it into view. */
  show(mac: string): void {
    if (this.#chosen !== undefined) this.#cells.get(this.#chosen)?.root.setAttribute('aria-selected', 'false');
    this.#chosen = mac;
    const cell = this.#cells.get(mac)?.root;
    cell?.setAttribute('aria-selected', 'true');
    cell?.scrollIntoView({ block: 'nearest' });
    this.#reach(mac);
  }

  /** Fades the nodes that do not match. */
  filter(text: string, only: Only | undefined): void {
    const { find } = this.#options;
    if (find.value === text && this.#only === only) return;
    find.value = text;
    this.#setOnly(only);
  }

  #listenToCells(): void {
    const { grid, choose } = this.#options;
    const hideTip = () => this.#tip.hide();
    grid.addEventListener('click', (event) => {
      const mac = macOf(event.target);
      if (mac === undefined) return;
      this.#focus(mac);
      choose(mac);
    });
    grid.addEventListener('keydown', (event) => this.#onKey(event));
    grid.addEventListener('focusin', (event) => this.#showTip(macOf(event.target)));
    grid.addEventListener('focusout', hideTip);
    grid.addEventListener('pointerover', (event) => {
      if (event.pointerType === 'mouse') this.#showTip(macOf(event.target));
    });
    grid.addEventListener('pointerleave', hideTip);
    addEventListener('scroll', hideTip, { passive: true });
  }

  #listenToSearch(): void {
    const { find, choose, filtered } = this.#options;
    find.addEventListener('input', () => {
      this.#fade();
      filtered(find.value, this.#only);
    });
    find.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      event.preventDefault();
      const first = this.#order.find((mac) => this.#matches(mac));
      if (find.value.trim() === '' || first === undefined) return;
      this.#focus(first);
      choose(first);
    });
  }

  /** Puts the cells in slot order. Elements are moved only when the order has changed: moving takes the focus away. */
  #place(): void {
    const { state, grid, empty } = this.#options;
    const slots = slotsOf(state);
    empty.hidden = slots.length > 0;
    if (slots.length === 0) setText(empty, 'No node has been seen yet. Power a board on: it will show up here.');
    const next = slots.map(({ slot, node }) => `${slot} ${node?.mac ?? ''}`).join();
    if (next === this.#layout) return;
    this.#layout = next;
    for (const mac of this.#cells.keys()) if (!state.nodes.has(mac)) this.#cells.delete(mac);
    const focused = macOf(document.activeElement);
    const density = state.nodes.size <= cardLimit ? 'cards' : 'dense';
    if (density !== this.#density) {
      this.#density = density;
      grid.dataset['density'] = density;
      for (const cell of this.#cells.values()) cell.fit(density);
    }
    this.#order = slots.flatMap(({ node }) => (node === undefined ? [] : [node.mac]));
    grid.replaceChildren(
      ...slots.map(({ slot, node }) => (node === undefined ? emptySlot(slot) : this.#cellOf(node.mac, density).root)),
    );
    if (this.#reachable === undefined || !this.#cells.has(this.#reachable)) this.#reach(this.#order[0]);
    if (focused !== undefined) this.#cells.get(focused)?.root.focus({ preventScroll: true });
  }

  #cellOf(mac: string, density: Density): RackCell {
    const known = this.#cells.get(mac);
    if (known !== undefined) return known;
    const cell = rackCell(mac, { isChosen: mac === this.#chosen });
    cell.fit(density);
    this.#cells.set(mac, cell);
    return cell;
  }

  #setOnly(only: Only | undefined): void {
    this.#only = only;
    this.#legend.press(only);
    this.#fade();
  }

  #matches(mac: string): boolean {
    const node = this.#options.state.nodes.get(mac);
    return node !== undefined && isFound(node, { text: this.#options.find.value, only: this.#only });
  }

  #fade(): void {
    const { find, found } = this.#options;
    let count = 0;
    for (const [mac, cell] of this.#cells) {
      const isMatch = this.#matches(mac);
      if (isMatch) count += 1;
      cell.root.classList.toggle('faded', !isMatch);
    }
    const isAsked = find.value.trim() !== '' || this.#only !== undefined;
    setText(found, isAsked ? `${count} found` : '');
    found.dataset['none'] = String(isAsked && count === 0);
  }

  #onKey(event: KeyboardEvent): void {
    const mac = macOf(event.target);
    if (mac === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === 'Escape') return this.#tip.hide();
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      return this.#options.choose(mac);
    }
    const places = this.#order.flatMap((each) => this.#cells.get(each)?.root ?? []);
    const next = this.#order[neighbour(event.key, { places, at: this.#order.indexOf(mac) }) ?? -1];
    if (next === undefined) return;
    event.preventDefault();
    this.#focus(next);
  }

  #focus(mac: string): void {
    this.#reach(mac);
    this.#cells.get(mac)?.root.focus();
  }

  #reach(mac: string | undefined): void {
    if (this.#reachable !== undefined) this.#cells.get(this.#reachable)?.root.setAttribute('tabindex', '-1');
    this.#reachable = mac;
    if (mac !== undefined) this.#cells.get(mac)?.root.setAttribute('tabindex', '0');
  }

  #showTip(mac: string | undefined): void {
    const cell = mac === undefined ? undefined : this.#cells.get(mac);
    if (mac !== undefined && cell !== undefined && this.#density === 'dense') this.#tip.show(mac, cell.root);
  }
}

/** By slot or customer, or by a part of name, MAC or address. */
function isFound(node: RackNode, wanted: { text: string; only: Only | undefined }): boolean {
  const text = wanted.text.trim().toLowerCase();
  if (wanted.only !== undefined && (wanted.only === 'fenced' ? !node.fenced : node.state !== wanted.only)) return false;
  if (text === '' || String(node.slot) === text || node.customers.includes(text)) return true;
  if (/^\d+$/.test(text)) return false;
  return [node.name, node.mac, node.ip ?? ''].some((field) => field.includes(text));
}
