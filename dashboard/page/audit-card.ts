// The audit log: its last hash, which an operator notes elsewhere, and a button that has the whole log gone through.
import type { AuditVerdict } from '../../protocol/api/audit.ts';
import { badge, element } from './element.ts';
import { read } from './link/requests.ts';
import { clock, plural } from './words.ts';

/** Problems that are shown; one changed entry is one problem, a replaced log may be thousands. */
const problemLimit = 20;
/** A log of years takes a while to go through. */
const patienceMs = 120_000;

export function auditCard({ button, body }: { button: HTMLButtonElement; body: HTMLElement }): void {
  button.addEventListener('click', () => {
    button.disabled = true;
    body.replaceChildren(element('p', { class: 'muted' }, 'Going through the whole log…'));
    void read<AuditVerdict>('/v1/audit/verify', patienceMs).then((answer) => {
      button.disabled = false;
      button.focus({ preventScroll: true });
      body.replaceChildren(
        ...('refused' in answer ? [element('p', { class: 'refusal' }, answer.refused)] : verdictOf(answer.value)),
      );
    });
  });
}

function verdictOf({ entries, head, receipts, problems }: AuditVerdict): HTMLElement[] {
  const isWhole = problems.length === 0;
  const left = problems.length - problemLimit;
  return [
    element(
      'p',
      { 'data-testid': 'audit-verdict' },
      badge(isWhole ? 'whole' : 'broken', isWhole ? 'whole' : plural(problems.length, 'problem')),
      ` ${plural(entries, 'entrie')
        .replace('entries', 'entries')
        .replace(/entrie$/, 'entry')}, ${plural(receipts, 'receipt')}, at ${clock(Date.now())}`,
    ),
    ...(isWhole
      ? []
      : [
          element(
            'ul',
            { class: 'problems', 'data-testid': 'audit-problems' },
            ...problems.slice(0, problemLimit).map((problem) => element('li', {}, problem)),
            ...(left > 0 ? [element('li', {}, `and ${left} more: muster audit verify`)] : []),
          ),
        ]),
    element('p', { class: 'muted' }, 'Its last hash. Note it elsewhere, and nobody can cut the end off unseen:'),
    element('p', {}, element('code', { class: 'hash', 'data-testid': 'audit-head' }, head)),
  ];
}
