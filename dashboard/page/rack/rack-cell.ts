// One slot of the rack. Few nodes are drawn as cards, many as small cells; both are the same elements.
// A cell is touched only when what it shows has changed: 684 nodes report every second.
import type { Node as RackNode, NodeState } from '../../../protocol/api/nodes.ts';
import { element, setAttributes, setText } from '../element.ts';
import { bootProgress, bootSteps, isBooting } from '../rack-state.ts';
import { clampShare, percent } from '../words.ts';

export type Density = 'cards' | 'dense';

/** A letter beside the colour, for those who do not see it; in a dense rack a ready node shows its slot alone. */
export const marks: Record<NodeState | 'fenced', string> = {
  seen: 'S',
  loading: 'L',
  joining: 'J',
  ready: 'R',
  silent: '!',
  lost: '×',
  fenced: 'F',
};

export interface RackCell {
  root: HTMLElement;
  /** What a small cell has no room for is not in it: elements that nobody sees cost as much as those that are seen. */
  fit(density: Density): void;
  draw(node: RackNode): void;
  drawSample(node: RackNode): void;
}

export function rackCell(mac: string, { isChosen }: { isChosen: boolean }): RackCell {
  const root = element('div', {
    class: 'cell',
    role: 'option',
    tabindex: -1,
    'aria-selected': String(isChosen),
    'data-mac': mac,
    'data-testid': 'cell',
  });
  const slot = element('span', { class: 'slot' });
  const name = element('span', { class: 'name' });
  const word = element('span', { class: 'word' });
  const cpu = shareBar('cpu');
  const memory = shareBar('memory');
  let density: Density = 'cards';

  function drawSample(node: RackNode): void {
    const live = node.state === 'ready' ? node.sample : null;
    cpu.draw(isBooting(node) ? bootProgress(node).done / bootSteps.length : (live?.cpu ?? 0));
    if (density === 'dense') return;
    memory.draw(live === null ? 0 : memoryShare(live));
    setText(word, cardWords(node));
  }

  return {
    root,
    fit(next) {
      density = next;
      root.replaceChildren(...(density === 'dense' ? [slot, cpu.root] : [slot, name, word, cpu.root, memory.root]));
    },
    draw(node) {
      const stuck = isBooting(node) && bootProgress(node).stuck;
      setAttributes(root, {
        'data-state': node.state,
        'data-fenced': String(node.fenced),
        'data-slot': String(node.slot),
        'data-stuck': String(stuck),
        'data-mark': node.fenced ? marks.fenced : marks[node.state],
      });
      // A card is read as it stands there; a small cell has no room for words.
      if (density === 'cards') root.removeAttribute('aria-label');
      else setAttributes(root, { 'aria-label': spokenWords(node) });
      setText(slot, String(node.slot));
      setText(name, node.name);
      drawSample(node);
    },
    drawSample,
  };
}

export function emptySlot(slot: number): HTMLElement {
  return element('div', { class: 'cell hole', role: 'none', title: `Slot ${slot} is empty` });
}

/** The node that an element of the rack belongs to. */
export function macOf(target: EventTarget | null): string | undefined {
  if (!(target instanceof Element)) return undefined;
  const cell = target.closest('.cell[data-mac]');
  return cell instanceof HTMLElement ? cell.dataset['mac'] : undefined;
}

/** In steps of 4 %: a smaller change cannot be seen on a bar this short, and would cost a repaint. */
function shareBar(kind: 'cpu' | 'memory'): { root: HTMLElement; draw(share: number): void } {
  const root = element('i', { class: `bar ${kind}` });
  let drawn = 0;
  return {
    root,
    draw(share) {
      const step = Math.ceil(clampShare(share) * 25) / 25;
      if (step !== drawn) root.style.backgroundSize = `${step * 100}% 100%`;
      drawn = step;
    },
  };
}

function memoryShare({ memoryUsedBytes, memoryTotalBytes }: NonNullable<RackNode['sample']>): number {
  return memoryTotalBytes > 0 ? clampShare(memoryUsedBytes / memoryTotalBytes) : 0;
}

function spokenWords(node: RackNode): string {
  const fenced = node.fenced ? ', fenced' : '';
  const stage = isBooting(node) ? `, at ${node.stage}` : '';
  const placement = node.placement === 'open' ? '' : `, ${node.placement}`;
  return `Slot ${node.slot} ${node.name}, ${node.state}${stage}${fenced}${placement}`;
}

function cardWords(node: RackNode): string {
  if (node.fenced) return `fenced · ${node.state}`;
  if (isBooting(node)) return node.stage === '' ? node.state : `${node.state} · ${node.stage}`;
  if (node.state !== 'ready') return node.state;
  if (node.sample === null) return 'ready';
  return `ready · CPU ${percent(node.sample.cpu)} · RAM ${percent(memoryShare(node.sample))}`;
}
