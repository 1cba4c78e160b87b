// The drills: when the last one was, what it measured, when the next one is due, and a button to start one.
import type { Drill, DrillPlan, Drills } from '../../../protocol/api/drills.ts';
import { badge, byId, element, setText } from '../element.ts';
import type { Changes, RackState } from '../rack-state.ts';
import { change, read } from '../link/requests.ts';
import { duration, moment, plural, some, span } from '../words.ts';

/** The last one is shown in full, these many before it in a line each. */
const earlierLimit = 6;

export interface DrillCard {
  draw(changes: Changes): void;
}

export interface DrillCardOptions {
  state: RackState;
  body: HTMLElement;
  showOrder: (number: number) => void;
}

export function drillCard({ state, body, showOrder }: DrillCardOptions): DrillCard {
  const dialog = byId('drill-dialog', HTMLDialogElement);
  const form = byId('drill-form', HTMLFormElement);
  const refusal = byId('drill-refusal', HTMLElement);
  const submit = byId('drill-submit', HTMLButtonElement);
  let schedule: DrillPlan | null | undefined;
  let wasRunning = false;

  byId('drill-start', HTMLButtonElement).addEventListener('click', () => {
    setText(refusal, '');
    const ready = [...state.nodes.values()].filter((node) => node.state === 'ready' && !node.fenced).length;
    setText(
      byId('drill-what', HTMLElement),
      `A canary, a customer made for the drill, is put on every ready node (${plural(ready, 'node')} now), stopped by ` +
        'a kill order, measured and removed. No other customer is touched.',
    );
    dialog.showModal();
    submit.focus();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!submit.disabled) void start();
  });

  async function start(): Promise<void> {
    submit.disabled = true;
    setText(refusal, '');
    const outcome = await change<Drill>({ path: '/v1/drills', body: {} });
    submit.disabled = false;
    if ('refused' in outcome) setText(refusal, outcome.refused);
    // It shows when the stream says so.
    if ('done' in outcome) dialog.close();
  }

  /** The drills come by the stream; when the next one is due does not. */
  async function readSchedule(): Promise<void> {
    const answer = await read<Drills>('/v1/drills');
    if ('refused' in answer) return;
    schedule = answer.value.schedule;
    build();
  }

  function build(): void {
    const [last, ...earlier] = [...state.drills.values()].toSorted((a, b) => b.number - a.number);
    body.replaceChildren(
      ...(last === undefined ? [noneYet()] : lastOf(last, showOrder)),
      scheduleLine(schedule),
      ...(earlier.length === 0 ? [] : [earlierList(earlier.slice(0, earlierLimit))]),
    );
  }

  return {
    draw: (changes) => {
      if (!changes.everything && !changes.drills) return;
      const focus = body.contains(document.activeElement);
      build();
      if (focus) body.querySelector('button')?.focus({ preventScroll: true });
      // A drill that ends may have been the schedule's.
      const running = [...state.drills.values()].some(({ phase }) => phase !== 'done');
      if (changes.everything || running !== wasRunning) void readSchedule();
      wasRunning = running;
    },
  };
}

function noneYet(): HTMLElement {
  return element(
    'p',
    { class: 'empty', 'data-testid': 'drill-none' },
    'No drill yet: nobody has measured what this rack does. Start one here, or by ',
    element('code', {}, 'muster drill'),
    '.',
  );
}

function lastOf(drill: Drill, showOrder: (number: number) => void): HTMLElement[] {
  const { order, problem, unacknowledged, leftOut } = drill;
  const link = element(
    'button',
    { type: 'button', class: 'link', 'aria-haspopup': 'dialog' },
    `Timeline of order ${order}`,
  );
  link.addEventListener('click', () => {
    if (order !== null) showOrder(order);
  });
  return [
    element('p', { class: 'drill-head', 'data-testid': 'drill-last' }, ...headOf(drill)),
    element('p', { class: 'drill-figure', 'data-testid': 'drill-figures' }, figures(drill)),
    ...(problem === '' ? [] : [element('p', { class: 'warning' }, problem)]),
    ...(unacknowledged.length === 0
      ? []
      : [element('p', { class: 'unacknowledged' }, `Not acknowledged: ${some(unacknowledged)}`)]),
    ...(leftOut.length === 0 ? [] : [element('p', { class: 'muted' }, `Not measured: ${some(leftOut)}`)]),
    ...(order === null ? [] : [element('p', {}, link)]),
  ];
}

function earlierList(drills: readonly Drill[]): HTMLElement {
  const lines = drills.map((drill) => element('li', {}, ...headOf(drill), ` · ${figures(drill)}`));
  return element('ul', { class: 'earlier', 'aria-label': 'Earlier drills' }, ...lines);
}

const phases = {
  deploying: 'puts the canary on the nodes',
  killing: 'stops the canary',
  removing: 'cleans up',
  done: 'is over',
} as const;

function headOf({ number, by, startedAt, phase, outcome }: Drill): (HTMLElement | string)[] {
  const state = outcome ?? 'running';
  return [
    badge(`drill-${state}`, state),
    ` Drill ${number}, ${moment(startedAt, Date.now())}, by ${by}`,
    phase === 'done' ? '' : `: ${phases[phase]}`,
  ];
}

function figures({ drawn, nodes, stopped, medianMs, slowestMs, phase }: Drill): string {
  if (phase === 'deploying') return `${nodes}/${plural(drawn, 'node')} run it`;
  if (nodes === 0) return 'no node ran it';
  const count = `${stopped}/${plural(nodes, 'node')} stopped`;
  if (medianMs === null || slowestMs === null) return count;
  return `${count}, median ${span(medianMs)}, slowest ${span(slowestMs)}`;
}

function scheduleLine(schedule: DrillPlan | null | undefined): HTMLElement {
  if (schedule === undefined) return element('p', { class: 'muted', 'data-testid': 'drill-schedule' });
  if (schedule === null)
    return element(
      'p',
      { class: 'muted', 'data-testid': 'drill-schedule' },
      'No schedule. ',
      element('code', {}, 'muster drill --every 30d'),
      ' makes one.',
    );
  const now = Date.now();
  const left = schedule.nextAt - now;
  return element(
    'p',
    { class: 'muted', 'data-testid': 'drill-schedule' },
    `Every ${everyWords(schedule.everySeconds)}; next ${moment(schedule.nextAt, now)}${left > 0 ? `, in ${duration(left)}` : ', due now'}.`,
  );
}

/** `30 days`, `36 h 0 min` */
function everyWords(seconds: number): string {
  return seconds % 86_400 === 0 ? plural(seconds / 86_400, 'day') : duration(seconds * 1000);
}
