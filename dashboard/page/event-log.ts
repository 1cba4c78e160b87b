// The last events, newest first. New ones are put on top of those that are drawn already.
import type { Event } from '../../protocol/api/events.ts';
import { element, setText } from './element.ts';
import { eventLimit, eventsMatching, type Changes, type RackState } from './rack-state.ts';
import { clock } from './words.ts';

export interface EventLogOptions {
  state: RackState;
  list: HTMLElement;
  filter: HTMLInputElement;
  empty: HTMLElement;
  /** Somebody has typed another filter. */
  filtered: (text: string) => void;
}

export interface EventLog {
  draw(changes: Changes): void;
  filter(text: string): void;
}

export function eventLog({ state, list, filter, empty, filtered }: EventLogOptions): EventLog {
  let newestDrawn = -1;
  filter.addEventListener('input', () => {
    drawAll();
    filtered(filter.value);
  });

  function draw(changes: Changes): void {
    if (changes.everything) return drawAll();
    if (!changes.events) return;
    const fresh = state.events.filter(({ id }) => id > newestDrawn);
    list.prepend(...eventsMatching(fresh, filter.value).map(line));
    while (list.children.length > eventLimit) list.lastElementChild?.remove();
    finish();
  }

  function drawAll(): void {
    list.replaceChildren(...eventsMatching(state.events, filter.value).map(line));
    finish();
  }

  function finish(): void {
    newestDrawn = state.events.at(-1)?.id ?? -1;
    const wanted = filter.value.trim();
    setText(
      empty,
      wanted === '' ? 'No event yet.' : `0 found: none of the last ${state.events.length} events has “${wanted}”.`,
    );
    empty.hidden = list.children.length > 0;
    list.hidden = list.children.length === 0;
  }

  return {
    draw,
    filter: (text) => {
      if (filter.value === text) return;
      filter.value = text;
      drawAll();
    },
  };
}

function line({ at, kind, subject, message }: Event): HTMLElement {
  return element(
    'li',
    { 'data-kind': kind, 'data-testid': 'event' },
    element('time', { datetime: new Date(at).toISOString() }, clock(at)),
    element('span', { class: 'kind' }, kind),
    element('span', { class: 'event-words' }, element('strong', {}, subject), ` ${message}`),
  );
}
