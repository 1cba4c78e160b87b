// What a small cell has no room for, beside the one that is pointed at or has the focus.
import type { Node as RackNode } from '../../../protocol/api/nodes.ts';
import { element } from '../element.ts';
import { isBooting, type RackState } from '../rack-state.ts';
import { bytes, percent } from '../words.ts';

export interface RackTip {
  show(mac: string, cell: HTMLElement): void;
  /** As the node is now. */
  draw(): void;
  hide(): void;
}

export function rackTip({ state, tip }: { state: RackState; tip: HTMLElement }): RackTip {
  let shown: string | undefined;

  function draw(): void {
    if (shown === undefined) return;
    const node = state.nodes.get(shown);
    if (node === undefined) hide();
    else tip.replaceChildren(...linesOf(node));
  }

  function hide(): void {
    shown = undefined;
    tip.hidden = true;
  }

  return {
    show(mac, cell) {
      shown = mac;
      tip.hidden = false;
      draw();
      const place = cell.getBoundingClientRect();
      const { width, height } = tip.getBoundingClientRect();
      const left = Math.min(Math.max(8, place.left + place.width / 2 - width / 2), innerWidth - width - 8);
      const above = place.top - height - 8;
      tip.style.left = `${left}px`;
      tip.style.top = `${above < 8 ? place.bottom + 8 : above}px`;
    },
    draw,
    hide,
  };
}

function linesOf(node: RackNode): HTMLElement[] {
  return [
    element('strong', {}, node.name),
    element(
      'span',
      {},
      `slot ${node.slot} · ${node.state}${node.fenced ? ' · fenced' : ''}${node.placement === 'open' ? '' : ` · ${node.placement}`}`,
    ),
    element('span', {}, nowWords(node)),
  ];
}

function nowWords(node: RackNode): string {
  if (isBooting(node)) return `boot: ${node.stage}`;
  if (node.state !== 'ready' || node.sample === null) return node.reason;
  const { cpu, memoryUsedBytes, temperatureCelsius } = node.sample;
  const heat = temperatureCelsius === null ? '' : ` · ${Math.round(temperatureCelsius)} °C`;
  return `CPU ${percent(cpu)} · RAM ${bytes(memoryUsedBytes)}${heat}`;
}
