// The top of the page: how the rack is in three figures, who one is, and, where somebody has to come, a strip that says so.
import { byId, element, setAttributes, setText } from './element.ts';
import { controllerTroubles, rackAlarm } from './rack-alarm.ts';
import { counts, everything, standingOrders, type Changes, type RackState } from './rack-state.ts';
import type { Connection } from './link/stream.ts';
import { operatorName } from './link/token.ts';
import { clock } from './words.ts';

export interface Header {
  draw(changes: Changes): void;
  connection(connection: Connection): void;
}

export function header(state: RackState): Header {
  const ready = byId('ready', HTMLElement);
  const note = byId('ready-note', HTMLElement);
  const strip = byId('alarms', HTMLElement);
  const announce = byId('announce', HTMLElement);
  const operator = byId('operator', HTMLElement);
  let announced = '';

  function draw(changes: Changes): void {
    if (changes.everything && state.status !== undefined) {
      setText(byId('rack-name', HTMLElement), state.status.rack);
      setText(byId('version', HTMLElement), `version ${state.status.version}`);
    }
    const isTouched =
      changes.everything || changes.kills || changes.status || changes.nodes.size > 0 || changes.customers.size > 0;
    if (!isTouched) return;
    const { nodes, total, instances, running } = counts(state);
    const standing = standingOrders(state);
    const alarm = rackAlarm(state.nodes.values());
    setText(byId('ready-count', HTMLElement), `${nodes.ready}/${total}`);
    setText(note, alarm.words);
    setText(byId('running-count', HTMLElement), `${running}/${instances}`);
    setText(byId('order-count', HTMLElement), standing.length === 0 ? 'none' : String(standing.length));
    setAttributes(document.body, { 'data-killed': String(standing.length > 0) });
    setAttributes(ready, { 'data-level': alarm.level });
    const stopped = standing.map(({ scope }) => (scope === everything ? 'EVERYTHING' : scope));
    const killed = stopped.length === 0 ? '' : `KILLED ${stopped.slice(0, 3).join(', ')} · `;
    const loud = alarm.level === 'alarm' ? 'ALARM · ' : '';
    const title = `${killed}${loud}${nodes.ready}/${total} ready · ${state.status?.rack ?? 'Muster'}`;
    if (document.title !== title) document.title = title;
    drawAlarms([...(alarm.sentence === '' ? [] : [alarm.sentence]), ...controllerTroubles(state.status)]);
  }

  /** The figures in them move all the time while a rack goes down; they are read out when another kind of alarm comes. */
  function drawAlarms(sentences: readonly string[]): void {
    for (const [index, sentence] of sentences.entries()) {
      const line = strip.children[index] ?? strip.appendChild(element('p', { class: 'alarm' }));
      setText(line, sentence);
    }
    while (strip.children.length > sentences.length) strip.lastElementChild?.remove();
    const kinds = sentences.map((sentence) => sentence.replaceAll(/\d+/g, '')).join();
    if (kinds === announced) return;
    announced = kinds;
    setText(announce, sentences.join(' '));
  }

  /** Quiet where it cannot be told: the page works without it. */
  async function drawOperator(): Promise<void> {
    const name = await operatorName();
    operator.hidden = name === null;
    setText(operator, name === null ? '' : `as ${name}`);
  }

  function connection(now: Connection): void {
    if (document.body.dataset['connection'] === now) return;
    byId('unlock', HTMLButtonElement).hidden = now !== 'locked';
    document.body.dataset['connection'] = now;
    const words = {
      connecting: 'Connecting',
      live: 'Live',
      // What is on the page is old from here on, and must not be taken for the present.
      reconnecting: `Reconnecting: shown as of ${clock(Date.now())}`,
      locked: 'No operator’s token: nothing can be shown',
    };
    setText(byId('connection', HTMLElement), words[now]);
    if (now === 'live') void drawOperator();
    if (now === 'locked') operator.hidden = true;
  }

  return { draw, connection };
}
