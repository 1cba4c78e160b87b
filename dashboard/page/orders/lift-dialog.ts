// The way back: lifting an order.
import { byId, setText } from '../element.ts';
import { change, waits, type OrderAnswer } from '../link/requests.ts';
import { everything, standingOrders, type Changes, type Message, type RackState } from '../rack-state.ts';
import { waitingPart } from './waiting-part.ts';

export interface LiftDialog {
  /** A customer's name, or `*`. */
  open(scope: string): void;
  draw(changes: Changes): void;
  tick(): void;
}

export function liftDialog({ state, hear }: { state: RackState; hear: (message: Message) => void }): LiftDialog {
  const dialog = byId('lift-dialog', HTMLDialogElement);
  const form = byId('lift-form', HTMLFormElement);
  const reason = byId('lift-reason', HTMLInputElement);
  const refusal = byId('lift-refusal', HTMLElement);
  const submit = byId('lift-submit', HTMLButtonElement);
  const waiting = waitingPart({
    state,
    dialog: 'lift',
    settled() {
      if (standingOrders(state).some((each) => each.scope === scope))
        return 'The order still stands: it was withdrawn, or nobody approved it in time.';
      dialog.close();
      return undefined;
    },
  });
  let scope = '';

  dialog.addEventListener('close', () => waiting.end());
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!submit.disabled) void send();
  });

  async function send(): Promise<void> {
    const sentFor = scope;
    submit.disabled = true;
    setText(refusal, '');
    const target = sentFor === everything ? { everything: true } : { customer: sentFor };
    const why = reason.value.trim();
    const body = { ...target, ...(why === '' ? {} : { reason: why }) };
    const outcome = await change<OrderAnswer>({ path: '/v1/lift', body });
    submit.disabled = false;
    if (!dialog.open || scope !== sentFor) return;
    if ('refused' in outcome) setText(refusal, outcome.refused);
    // The banner goes when the stream says that the order is lifted, not before.
    if (!('done' in outcome)) return;
    if (waits(outcome.done)) {
      hear({ kind: 'approval', data: outcome.done });
      form.hidden = true;
      waiting.begin(outcome.done);
    } else if (outcome.done.liftedAt !== null) dialog.close();
    else setText(refusal, 'Not lifted yet: the controller\u2019s disk does not take it. It tries again each second.');
  }

  return {
    open: (asked) => {
      scope = asked;
      form.reset();
      form.hidden = false;
      waiting.end();
      setText(refusal, '');
      const all = scope === everything;
      setText(byId('lift-title', HTMLElement), all ? 'Lift the order for everything' : `Lift the order on ${scope}`);
      setText(
        byId('lift-what', HTMLElement),
        (all
          ? 'Customers without an order of their own start again at once.'
          : `The containers of ${scope} start again at once, unless an order for everything stands.`) +
          (state.status?.twoPersonRule === true ? ' A second operator must approve it first.' : ''),
      );
      dialog.showModal();
      submit.focus();
    },
    draw: (changes) => {
      if (changes.everything || changes.kills || changes.approvals) waiting.draw();
    },
    tick: () => waiting.draw(),
  };
}
