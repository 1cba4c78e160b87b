// What waits for a second operator, in amber above everything: who asked for what and why, and until when.
import type { Approval } from '../../../protocol/api/approvals.ts';
import type { KillOrder } from '../../../protocol/api/orders.ts';
import { byId, element, setText } from '../element.ts';
import { everything, waitingApprovals, type Changes, type RackState } from '../rack-state.ts';
import { change } from '../link/requests.ts';
import { operatorName } from '../link/token.ts';
import { duration, moment } from '../words.ts';

/** More than these are counted. */
const shownLimit = 6;

interface Banner {
  root: HTMLElement;
  left: HTMLElement;
  refusal: HTMLElement;
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
  const dialog = byId('approve-dialog', HTMLDialogElement);
  const form = byId('approve-form', HTMLFormElement);
  const refusal = byId('approve-refusal', HTMLElement);
  const submit = byId('approve-submit', HTMLButtonElement);
  let chosen: Approval | undefined;

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (chosen !== undefined && !submit.disabled) void approve(chosen);
  });

  function draw(): void {
    const waiting = waitingApprovals(state, Date.now());
    const shown = waiting.slice(0, shownLimit);
    for (const [id, { root }] of banners) {
      if (shown.some((approval) => approval.id === id)) continue;
      root.remove();
      banners.delete(id);
    }
    for (const [index, approval] of shown.entries()) {
      const banner = banners.get(approval.id) ?? build(approval);
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

  function build(approval: Approval): Banner {
    const { id, by, at, reason } = approval;
    const request = requestOf(approval);
    const left = element('p', { class: 'approval-left' });
    const failed = element('p', { class: 'approval-refusal', role: 'alert' });
    const own = element('p', { hidden: true }, 'You asked for it: another operator must approve.');
    const button = element(
      'button',
      { type: 'button', 'aria-haspopup': 'dialog', 'data-testid': 'approve' },
      'Approve…',
    );
    button.setAttribute('aria-label', `Approve: ${request}`);
    button.addEventListener('click', () => open(approval));
    const withdraw = element('button', { type: 'button', 'data-testid': 'withdraw' }, 'Withdraw');
    withdraw.setAttribute('aria-label', `Withdraw: ${request}`);
    withdraw.addEventListener('click', () => {
      void change<object>({ method: 'DELETE', path: `/v1/approvals/${id}` }).then((outcome) => {
        setText(failed, 'refused' in outcome ? outcome.refused : '');
        void markOwn();
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
      button,
      withdraw,
      failed,
    );
    const banner = { root, left, refusal: failed, approve: button, own };
    banners.set(id, banner);
    return banner;
  }

  function open(approval: Approval): void {
    chosen = approval;
    const { action, by, at, reason } = approval;
    const request = requestOf(approval);
    setText(byId('approve-title', HTMLElement), `Approve: ${request}`);
    setText(
      byId('approve-what', HTMLElement),
      `${by} asked for it, ${moment(at, Date.now())}${reason === '' ? '' : `: ${reason}`}. ` +
        'You are the second operator: it takes effect at once, under both names.',
    );
    setText(refusal, '');
    setText(submit, action === 'kill' ? 'Approve and stop' : 'Approve and lift');
    submit.className = action === 'kill' ? 'danger' : 'primary';
    submit.disabled = false;
    dialog.showModal();
    byId('approve-cancel', HTMLButtonElement).focus();
  }

  async function approve(approval: Approval): Promise<void> {
    submit.disabled = true;
    setText(refusal, '');
    const outcome = await change<KillOrder>({ path: `/v1/approvals/${approval.id}` });
    submit.disabled = false;
    void markOwn();
    if (!dialog.open || chosen !== approval) return;
    if ('refused' in outcome) setText(refusal, outcome.refused);
    if (!('done' in outcome)) return;
    dialog.close();
    if (approval.action === 'kill') show(outcome.done.number);
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

function requestOf({ action, scope }: Approval): string {
  const what = scope === everything ? 'everything' : scope;
  return action === 'kill' ? `stop ${what}` : `lift the order on ${what}`;
}
