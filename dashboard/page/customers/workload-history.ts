// How a workload was wanted, when and by whom: asked for when somebody opens it, and again when it has changed since.
import type { Revision, Workload } from '../../../protocol/api/workloads.ts';
import { element } from '../element.ts';
import { read } from '../link/requests.ts';
import { moment } from '../words.ts';

export interface WorkloadHistory {
  root: HTMLElement;
  draw(workload: Workload): void;
}

export function workloadHistory({ customer, name }: Pick<Workload, 'customer' | 'name'>): WorkloadHistory {
  const list = element('ol', { class: 'history', 'data-testid': 'revisions' });
  const summary = element('summary', { 'data-key': `history-${name}` }, 'History');
  const root = element('details', { class: 'muted', 'data-testid': 'history' }, summary, list);
  let wanted = 0;
  let shown = 0;

  async function load(): Promise<void> {
    if (!root.open || shown === wanted) return;
    const asked = wanted;
    shown = asked;
    const path = `/v1/workloads/${encodeURIComponent(customer)}/${encodeURIComponent(name)}/history`;
    const answer = await read<{ revisions: Revision[] }>(path);
    // Another change came meanwhile: its own answer is on its way.
    if (shown !== asked) return;
    if ('refused' in answer) {
      // Opened again, it is asked for again.
      shown = 0;
      list.replaceChildren(element('li', {}, answer.refused));
    } else if (answer.value.revisions.length === 0)
      list.replaceChildren(element('li', {}, 'Nothing was changed since histories are kept.'));
    else list.replaceChildren(...answer.value.revisions.map(revisionLine));
  }

  root.addEventListener('toggle', () => void load());
  return {
    root,
    draw: ({ revision }) => {
      wanted = revision;
      void load();
    },
  };
}

function revisionLine({ revision, at, by, image, changes, current }: Revision): HTMLElement {
  const what = changes.length === 0 ? image : changes.join(', ');
  return element(
    'li',
    {},
    element('strong', {}, `${revision}${current ? ' (now)' : ''}`),
    ` ${moment(at, Date.now())}${by === null ? '' : ` by ${by}`}: ${what}`,
  );
}
