// The rack as a grid of slots. Few nodes are drawn as cards, many as small cells; both are the same elements.
// A cell is touched only when what it shows has changed: 684 nodes report every second.
import type { Node as RackNode, NodeState } from '../../../protocol/api/nodes.ts';
import { lostAfterMs, silentAfterMs } from '../../../protocol/timing.ts';
import { element, setAttribute, setText } from '../element.ts';
import { bootProgress, bootSteps, counts, isBooting, slotsOf, type Changes, type RackState } from '../rack-state.ts';
import { onlyWords, type Only } from '../view-address.ts';
import { bytes, clampShare, percent, seconds } from '../words.ts';

/** Up to so many nodes there is room to say more about each. */
const cardLimit = 24;

/** A letter beside the colour, for those who do not see it; in a dense rack a ready node shows its slot alone. */
const marks: Record<NodeState, string> = { seen: 'S', loading: 'L', joining: 'J', ready: 'R', silent: '!', lost: '×' };
const meanings: Record<NodeState, string> = {
  seen: 'asked for an address',
  loading: 'loads its system over the network',
  joining: 'its agent is joining',
  ready: 'takes work',
  silent: `not heard for ${seconds(silentAfterMs)}: its permits have run out`,
  lost: `not heard for ${seconds(lostAfterMs)}: its work is placed elsewhere`,
};

interface Cell {
  root: HTMLElement;
  slot: HTMLElement;
  name: HTMLElement;
  word: HTMLElement;
  cpu: HTMLElement;
  memory: HTMLElement;
  cpuDrawn: number;
  memoryDrawn: number;
}

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

export interface RackGrid {
  draw(changes: Changes): void;
  /** Marks the node as chosen and brings it into view. */
  show(mac: string): void;
  /** Fades the nodes that do not match. */
  filter(text: string, state: Only | undefined): void;
}

export function rackGrid(options: RackGridOptions): RackGrid {
  const { state, grid, legend, tip, find, found, empty, choose, filtered } = options;
  const cells = new Map<string, Cell>();
  let order: string[] = [];
  let layout = '';
  let chosen: string | undefined;
  /** The one cell that Tab reaches. */
  let reachable: string | undefined;
  let tipFor: string | undefined;
  let only: Only | undefined;
  const legendItems = new Map<string, { button: HTMLElement; count: HTMLElement }>();

  for (const name of onlyWords) buildLegendItem(name);
  grid.addEventListener('click', (event) => {
    const mac = macOf(event.target);
    if (mac === undefined) return;
    reach(mac);
    cells.get(mac)?.root.focus();
    choose(mac);
  });
  grid.addEventListener('keydown', onKey);
  grid.addEventListener('focusin', (event) => {
    const mac = macOf(event.target);
    if (mac !== undefined) showTip(mac);
  });
  grid.addEventListener('focusout', hideTip);
  grid.addEventListener('pointerover', (event) => {
    const mac = event.pointerType === 'mouse' ? macOf(event.target) : undefined;
    if (mac !== undefined) showTip(mac);
  });
  grid.addEventListener('pointerleave', hideTip);
  addEventListener('scroll', hideTip, { passive: true });
  find.addEventListener('input', () => {
    fade();
    filtered(find.value, only);
  });
  find.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    const first = order.find((mac) => matches(mac));
    if (find.value.trim() === '' || first === undefined) return;
    reach(first);
    cells.get(first)?.root.focus();
    choose(first);
  });

  function draw(changes: Changes): void {
    if (changes.everything || changes.nodes.size > 0) {
      place();
      const touched = changes.everything ? state.nodes.keys() : changes.nodes;
      for (const mac of touched) drawNode(mac);
      drawLegend();
      if (find.value !== '' || only !== undefined) fade();
    }
    for (const mac of changes.samples) drawSample(mac);
    if (tipFor !== undefined) fillTip(tipFor);
  }

  /** Puts the cells in slot order. Elements are moved only when the order has changed: moving takes the focus away. */
  function place(): void {
    const slots = slotsOf(state);
    empty.hidden = slots.length > 0;
    if (slots.length === 0) setText(empty, 'No node has been seen yet. Power a board on: it will show up here.');
    const next = slots.map(({ slot, node }) => `${slot} ${node?.mac ?? ''}`).join();
    if (next === layout) return;
    layout = next;
    for (const mac of cells.keys()) if (!state.nodes.has(mac)) cells.delete(mac);
    const focused = macOf(document.activeElement);
    const density = state.nodes.size <= cardLimit ? 'cards' : 'dense';
    if (density !== grid.dataset['density']) {
      grid.dataset['density'] = density;
      for (const cell of cells.values()) fill(cell);
    }
    order = slots.flatMap(({ node }) => (node === undefined ? [] : [node.mac]));
    grid.replaceChildren(
      ...slots.map(({ slot, node }) => (node === undefined ? emptySlot(slot) : cellOf(node.mac).root)),
    );
    if (reachable === undefined || !cells.has(reachable)) reach(order[0]);
    if (focused !== undefined) cells.get(focused)?.root.focus({ preventScroll: true });
  }

  function cellOf(mac: string): Cell {
    const known = cells.get(mac);
    if (known !== undefined) return known;
    const root = element('div', {
      class: 'cell',
      role: 'option',
      tabindex: -1,
      'aria-selected': String(mac === chosen),
      'data-mac': mac,
      'data-testid': 'cell',
    });
    const cell = {
      root,
      slot: element('span', { class: 'slot' }),
      name: element('span', { class: 'name' }),
      word: element('span', { class: 'word' }),
      cpu: element('i', { class: 'bar cpu' }),
      memory: element('i', { class: 'bar memory' }),
      cpuDrawn: 0,
      memoryDrawn: 0,
    };
    fill(cell);
    cells.set(mac, cell);
    return cell;
  }

  /** What a small cell has no room for is not in it: elements that nobody sees cost as much as those that are seen. */
  function fill({ root, slot, name, word, cpu, memory }: Cell): void {
    root.replaceChildren(...(grid.dataset['density'] === 'dense' ? [slot, cpu] : [slot, name, word, cpu, memory]));
  }

  function drawNode(mac: string): void {
    const node = state.nodes.get(mac);
    const cell = cells.get(mac);
    if (node === undefined || cell === undefined) return;
    setAttribute(cell.root, 'data-state', node.state);
    setAttribute(cell.root, 'data-fenced', String(node.fenced));
    setAttribute(cell.root, 'data-slot', String(node.slot));
    const stuck = isBooting(node) && bootProgress(node).stuck;
    setAttribute(cell.root, 'data-stuck', String(stuck));
    // A card is read as it stands there; a small cell has no room for words.
    if (grid.dataset['density'] === 'cards') cell.root.removeAttribute('aria-label');
    else {
      const fenced = node.fenced ? ', fenced' : '';
      const stage = isBooting(node) ? `, at ${node.stage}` : '';
      setAttribute(cell.root, 'aria-label', `Slot ${node.slot} ${node.name}, ${node.state}${stage}${fenced}`);
    }
    setText(cell.slot, String(node.slot));
    setAttribute(cell.root, 'data-mark', node.fenced ? 'F' : marks[node.state]);
    setText(cell.name, node.name);
    drawSample(mac);
  }

  function drawSample(mac: string): void {
    const node = state.nodes.get(mac);
    const cell = cells.get(mac);
    if (node === undefined || cell === undefined) return;
    const booting = isBooting(node);
    const live = node.state === 'ready' ? node.sample : null;
    const first = booting ? bootProgress(node).done / bootSteps.length : (live?.cpu ?? 0);
    const second = live === null ? 0 : memoryShare(live);
    const dense = grid.dataset['density'] === 'dense';
    cell.cpuDrawn = setBar(cell.cpu, cell.cpuDrawn, first);
    if (dense) return;
    cell.memoryDrawn = setBar(cell.memory, cell.memoryDrawn, second);
    setText(cell.word, cardWords(node));
  }

  function buildLegendItem(name: Only): void {
    const count = element('span', { class: 'legend-count' }, '0');
    const swatch = element('span', {
      class: 'cell swatch',
      'aria-hidden': 'true',
      'data-state': name === 'fenced' ? 'ready' : name,
      'data-fenced': String(name === 'fenced'),
      'data-mark': name === 'fenced' ? 'F' : marks[name],
    });
    const meaning = name === 'fenced' ? 'kept out by an operator' : meanings[name];
    const button = element(
      'button',
      { type: 'button', 'aria-pressed': 'false', title: `${name}: ${meaning}`, 'data-testid': `legend-${name}` },
      swatch,
      element('span', {}, name),
      count,
    );
    button.addEventListener('click', () => {
      setOnly(only === name ? undefined : name);
      filtered(find.value, only);
    });
    legendItems.set(name, { button, count });
    legend.append(element('li', {}, button));
  }

  function setOnly(name: Only | undefined): void {
    only = name;
    for (const [each, item] of legendItems) setAttribute(item.button, 'aria-pressed', String(each === name));
    fade();
  }

  function drawLegend(): void {
    const { nodes, fenced } = counts(state);
    for (const [name, count] of [...Object.entries(nodes), ['fenced', fenced] as const]) {
      const item = legendItems.get(name);
      if (item === undefined) continue;
      setText(item.count, String(count));
      setAttribute(item.button, 'data-none', String(count === 0));
    }
  }

  function matches(mac: string): boolean {
    const node = state.nodes.get(mac);
    const text = find.value.trim().toLowerCase();
    if (node === undefined) return false;
    if (only !== undefined && (only === 'fenced' ? !node.fenced : node.state !== only)) return false;
    if (text === '' || String(node.slot) === text || node.customers.includes(text)) return true;
    if (/^\d+$/.test(text)) return false;
    return [node.name, node.mac, node.ip ?? ''].some((field) => field.includes(text));
  }

  function fade(): void {
    let count = 0;
    for (const [mac, cell] of cells) {
      const isMatch = matches(mac);
      if (isMatch) count += 1;
      cell.root.classList.toggle('faded', !isMatch);
    }
    const isAsked = find.value.trim() !== '' || only !== undefined;
    setText(found, isAsked ? `${count} found` : '');
    found.dataset['none'] = String(isAsked && count === 0);
  }

  function onKey(event: KeyboardEvent): void {
    const mac = macOf(event.target);
    if (mac === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === 'Escape') return hideTip();
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      return choose(mac);
    }
    const next = neighbour(mac, event.key);
    if (next === undefined) return;
    event.preventDefault();
    reach(next);
    cells.get(next)?.root.focus();
  }

  /** Up and down go by what is on the screen: the grid wraps as wide as it finds room, and slots may be empty. */
  function neighbour(mac: string, key: string): string | undefined {
    const at = order.indexOf(mac);
    switch (key) {
      case 'ArrowLeft':
        return order[at - 1];
      case 'ArrowRight':
        return order[at + 1];
      case 'Home':
        return order[0];
      case 'End':
        return order.at(-1);
      case 'ArrowUp':
        return vertical(at, -1, 1);
      case 'ArrowDown':
        return vertical(at, 1, 1);
      case 'PageUp':
        return vertical(at, -1, 8);
      case 'PageDown':
        return vertical(at, 1, 8);
      default:
        return undefined;
    }
  }

  function vertical(at: number, step: 1 | -1, rows: number): string | undefined {
    const from = cellAt(at);
    if (from === undefined) return undefined;
    let best: number | undefined;
    let crossed = 0;
    let rowTop = from.offsetTop;
    for (let index = at + step; index >= 0 && index < order.length; index += step) {
      const cell = cellAt(index);
      if (cell === undefined) break;
      if (cell.offsetTop !== rowTop) {
        if (crossed === rows) break;
        crossed += 1;
        rowTop = cell.offsetTop;
        best = index;
      }
      if (crossed === 0 || best === undefined) continue;
      const distance = Math.abs(cell.offsetLeft - from.offsetLeft);
      if (distance < Math.abs((cellAt(best)?.offsetLeft ?? 0) - from.offsetLeft)) best = index;
    }
    return best === undefined ? undefined : order[best];
  }

  function cellAt(index: number): HTMLElement | undefined {
    const mac = order[index];
    return mac === undefined ? undefined : cells.get(mac)?.root;
  }

  function reach(mac: string | undefined): void {
    if (reachable !== undefined) cells.get(reachable)?.root.setAttribute('tabindex', '-1');
    reachable = mac;
    if (mac !== undefined) cells.get(mac)?.root.setAttribute('tabindex', '0');
  }

  function showTip(mac: string): void {
    if (grid.dataset['density'] !== 'dense') return;
    tipFor = mac;
    fillTip(mac);
    tip.hidden = false;
    const cell = cells.get(mac)?.root.getBoundingClientRect();
    if (cell === undefined) return hideTip();
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, cell.left + cell.width / 2 - width / 2), innerWidth - width - 8);
    const above = cell.top - height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 8 ? cell.bottom + 8 : above}px`;
  }

  function fillTip(mac: string): void {
    const node = state.nodes.get(mac);
    if (node === undefined) return hideTip();
    const lines = [
      element('strong', {}, node.name),
      element('span', {}, `slot ${node.slot} · ${node.state}${node.fenced ? ' · fenced' : ''}`),
    ];
    if (isBooting(node)) lines.push(element('span', {}, `boot: ${node.stage}`));
    else if (node.state === 'ready' && node.sample !== null) {
      const { cpu, memoryUsedBytes, temperatureCelsius } = node.sample;
      const heat = temperatureCelsius === null ? '' : ` · ${Math.round(temperatureCelsius)} °C`;
      lines.push(element('span', {}, `CPU ${percent(cpu)} · RAM ${bytes(memoryUsedBytes)}${heat}`));
    } else lines.push(element('span', {}, node.reason));
    tip.replaceChildren(...lines);
  }

  function hideTip(): void {
    tipFor = undefined;
    tip.hidden = true;
  }

  return {
    draw,
    show: (mac) => {
      if (chosen !== undefined) cells.get(chosen)?.root.setAttribute('aria-selected', 'false');
      chosen = mac;
      const cell = cells.get(mac)?.root;
      cell?.setAttribute('aria-selected', 'true');
      cell?.scrollIntoView({ block: 'nearest' });
      reach(mac);
    },
    filter: (text, name) => {
      if (find.value === text && only === name) return;
      find.value = text;
      setOnly(name);
    },
  };
}

function macOf(target: EventTarget | null): string | undefined {
  if (!(target instanceof Element)) return undefined;
  const cell = target.closest('.cell[data-mac]');
  return cell instanceof HTMLElement ? cell.dataset['mac'] : undefined;
}

function memoryShare({ memoryUsedBytes, memoryTotalBytes }: NonNullable<RackNode['sample']>): number {
  return memoryTotalBytes > 0 ? clampShare(memoryUsedBytes / memoryTotalBytes) : 0;
}

/** In steps of 4 %: a smaller change cannot be seen on a bar this short, and would cost a repaint. */
function setBar(bar: HTMLElement, drawn: number, share: number): number {
  const step = Math.ceil(clampShare(share) * 25) / 25;
  if (step !== drawn) bar.style.backgroundSize = `${step * 100}% 100%`;
  return step;
}

function emptySlot(slot: number): HTMLElement {
  return element('div', { class: 'cell hole', role: 'none', title: `Slot ${slot} is empty` });
}

function cardWords(node: RackNode): string {
  if (node.fenced) return `fenced · ${node.state}`;
  if (isBooting(node)) return node.stage === '' ? node.state : `${node.state} · ${node.stage}`;
  if (node.state !== 'ready') return node.state;
  if (node.sample === null) return 'ready';
  return `ready · CPU ${percent(node.sample.cpu)} · RAM ${percent(memoryShare(node.sample))}`;
}
