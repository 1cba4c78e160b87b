// What the colours of the rack mean, how many nodes are so, and a button for each to see those alone.
import { lostAfterMs, silentAfterMs } from '../../../protocol/timing.ts';
import { element, setAttributes, setText } from '../element.ts';
import type { Counts } from '../rack-state.ts';
import { onlyWords, type Only } from '../view-address.ts';
import { seconds } from '../words.ts';
import { marks } from './rack-cell.ts';

const meanings: Record<Only, string> = {
  seen: 'asked for an address',
  loading: 'loads its system over the network',
  joining: 'its agent is joining',
  ready: 'takes work',
  silent: `not heard for ${seconds(silentAfterMs)}: its permits have run out`,
  lost: `not heard for ${seconds(lostAfterMs)}: its work is placed elsewhere`,
  fenced: 'kept out by an operator',
};

export interface RackLegendOptions {
  legend: HTMLElement;
  pressed: (name: Only) => void;
}

export interface RackLegend {
  draw(counts: Counts): void;
  /** Which button is pressed. */
  press(only: Only | undefined): void;
}

export function rackLegend({ legend, pressed }: RackLegendOptions): RackLegend {
  const items = new Map(
    onlyWords.map((name) => {
      const item = legendItem(name);
      item.button.addEventListener('click', () => pressed(name));
      legend.append(element('li', {}, item.button));
      return [name, item];
    }),
  );
  return {
    draw({ nodes, fenced }) {
      const all: Record<Only, number> = { ...nodes, fenced };
      for (const [name, { button, count }] of items) {
        setText(count, String(all[name]));
        setAttributes(button, { 'data-none': String(all[name] === 0) });
      }
    },
    press(only) {
      for (const [name, { button }] of items) setAttributes(button, { 'aria-pressed': String(name === only) });
    },
  };
}

function legendItem(name: Only): { button: HTMLElement; count: HTMLElement } {
  const count = element('span', { class: 'legend-count' }, '0');
  const swatch = element('span', {
    class: 'cell swatch',
    'aria-hidden': 'true',
    'data-state': name === 'fenced' ? 'ready' : name,
    'data-fenced': String(name === 'fenced'),
    'data-mark': marks[name],
  });
  const button = element(
    'button',
    { type: 'button', 'aria-pressed': 'false', title: `${name}: ${meanings[name]}`, 'data-testid': `legend-${name}` },
    swatch,
    element('span', {}, name),
    count,
  );
  return { button, count };
}
