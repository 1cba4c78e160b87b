// The second operator's word: what was asked for, by whom and why, read once more before it takes effect.
import type { Approval } from '../../../protocol/api/approvals.ts';
import type { KillOrder } from '../../../protocol/api/orders.ts';
import { byId, setText } from '../element.ts';
import { change } from '../link/requests.ts';
import { everything } from '../rack-state.ts';
import { moment } from '../words.ts';

export interface ApproveDialogOptions {
  /** After an approval that stops something. */
  show: (order: number) => void;
  /** The controller took it, or refused it. */
  answered: () => void;
}

export function approveDialog({ show, answered }: ApproveDialogOptions): { open(approval: Approval): void } {
  const dialog = byId('approve-dialog', HTMLDialogElement);
  const form = byId('approve-form', HTMLFormElement);
  const refusal = byId('approve-refusal', HTMLElement);
  const submit = byId('approve-submit', HTMLButtonElement);
  let chosen: Approval | undefined;

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (chosen !== undefined && !submit.disabled) void approve(chosen);
  });

  async function approve(approval: Approval): Promise<void> {
    submit.disabled = true;
    setText(refusal, '');
    const outcome = await change<KillOrder>({ path: `/v1/approvals/${approval.id}` });
    submit.disabled = false;
    answered();
    if (!dialog.open || chosen !== approval) return;
    if ('refused' in outcome) setText(refusal, outcome.refused);
    if (!('done' in outcome)) return;
    dialog.close();
    if (approval.action === 'kill') show(outcome.done.number);
  }

  return {
    open(approval) {
      chosen = approval;
      const { action, by, at, reason } = approval;
      setText(byId('approve-title', HTMLElement), `Approve: ${requestOf(approval)}`);
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
    },
  };
}

export function requestOf({ action, scope }: Approval): string {
  const what = scope === everything ? 'everything' : scope;
  return action === 'kill' ? `stop ${what}` : `lift the order on ${what}`;
}
