// What waits for a second operator, in amber above everything: who asked for what and why, and until when.
import type { Approval } from '../../../protocol/api/approvals.ts';
import { element, setText } from '../element.ts';
import { waitingApprovals, type Changes, type RackState } from '../rack-state.ts';
import { change } from '../link/requests.ts';
import { operatorName } from '../link/token.ts';
import { duration, moment } from '../words.ts';
import { approveDialog, requestOf } from './approve-dialog.ts';

/** More than these are counted. */
const shownLimit = 6;

interface Banner {
  root: HTMLElement;
  left: HTMLElement;
  approve: HTMLButtonElement;
  own: HTMLElement;
}

export interface ApprovalBannerOptions {
  state: RackState;
  section: HTMLElement;
  /** After an approval that stops something. */
  show: (order: number) => void;
}

export interface ApprovalBanner {
  draw(changes: Changes): void;
  tick(): void;
}

export function approvalBanner({ state, section, show }: ApprovalBannerOptions): ApprovalBanner {
  const banners = new Map<number, Banner>();
  const rest = element('p', { class: 'approval more' });
  const dialog = approveDialog({ show, answered: () => void markOwn() });

  function draw(): void {
    const waiting = waitingApprovals(state, Date.now());
    const shown = waiting.slice(0, shownLimit);
    for (const [id, { root }] of banners) {
      if (shown.some((approval) => approval.id === id)) continue;
      root.remove();
      banners.delete(id);
    }
    for (const [index, approval] of shown.entries()) {
      const banner =
        banners.get(approval.id) ??
        build(approval, { open: () => dialog.open(approval), withdrawn: () => void markOwn() });
      banners.set(approval.id, banner);
      setText(banner.left, `expires in ${duration(approval.expiresAt - Date.now())}`);
      const follows = section.children[index] ?? null;
      if (follows !== banner.root) section.insertBefore(banner.root, follows);
    }
    setText(rest, `and ${waiting.length - shown.length} more wait: muster approvals`);
    if (waiting.length > shown.length) section.append(rest);
    else rest.remove();
  }

  /** Who asked cannot approve: the page does not offer what would be refused. */
  async function markOwn(): Promise<void> {
    const name = banners.size === 0 ? null : await operatorName();
    for (const [id, { approve: button, own }] of banners) {
      const isOwn = name !== null && state.approvals.get(id)?.by === name;
      button.hidden = isOwn;
      own.hidden = !isOwn;
    }
  }

  return {
    draw: (changes) => {
      if (!changes.everything && !changes.approvals) return;
      draw();
      void markOwn();
    },
    tick: () => {
      if (banners.size > 0) draw();
    },
  };
}

function build(approval: Approval, { open, withdrawn }: { open: () => void; withdrawn: () => void }): Banner {
  const { id, by, at, reason } = approval;
  const request = requestOf(approval);
  const left = element('p', { class: 'approval-left' });
  const refusal = element('p', { class: 'approval-refusal', role: 'alert' });
  const own = element('p', { hidden: true }, 'You asked for it: another operator must approve.');
  const approve = element(
    'button',
    { type: 'button', 'aria-haspopup': 'dialog', 'data-testid': 'approve' },
    'Approve…',
  );
  approve.setAttribute('aria-label', `Approve: ${request}`);
  approve.addEventListener('click', open);
  const withdraw = element('button', { type: 'button', 'data-testid': 'withdraw' }, 'Withdraw');
  withdraw.setAttribute('aria-label', `Withdraw: ${request}`);
  withdraw.addEventListener('click', () => {
    void change<object>({ method: 'DELETE', path: `/v1/approvals/${id}` }).then((outcome) => {
      setText(refusal, 'refused' in outcome ? outcome.refused : '');
      withdrawn();
    });
  });
  const why = reason === '' ? '' : ` — ${reason}`;
  const root = element(
    'div',
    { class: 'approval', 'data-testid': 'approval', 'data-id': id },
    element(
      'p',
      { class: 'approval-words' },
      element('strong', {}, `WAITS FOR A SECOND OPERATOR: ${request}`),
      ` asked for by ${by}, ${moment(at, Date.now())}${why}`,
    ),
    left,
    own,
    approve,
    withdraw,
    refusal,
  );
  return { root, left, approve, own };
}
