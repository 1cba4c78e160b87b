// The part of a dialog that says that its order waits for a second operator: nothing has happened yet.
import type { Approval } from '../../../protocol/api/approvals.ts';
import { byId, setText } from '../element.ts';
import { waitingApprovals, type RackState } from '../rack-state.ts';
import { clock } from '../words.ts';

export interface WaitingPartOptions {
  state: RackState;
  dialog: 'kill' | 'lift';
  /** It no longer waits: what is to be said of it; undefined where that is shown otherwise. */
  settled: () => string | undefined;
}

export interface WaitingPart {
  begin(approval: Approval): void;
  end(): void;
  draw(): void;
}

export function waitingPart({ state, dialog, settled }: WaitingPartOptions): WaitingPart {
  const root = byId(`${dialog}-waiting`, HTMLElement);
  const text = byId(`${dialog}-waiting-words`, HTMLElement);
  let waitingFor: Approval | undefined;

  function draw(): void {
    if (waitingFor === undefined) return;
    const { id } = waitingFor;
    const waits = waitingApprovals(state, Date.now()).some((approval) => approval.id === id);
    const words = waits ? waitingWords(waitingFor) : settled();
    if (words !== undefined) setText(text, words);
  }

  return {
    begin(approval) {
      waitingFor = approval;
      root.hidden = false;
      draw();
      byId(`${dialog}-waiting-close`, HTMLButtonElement).focus();
    },
    end() {
      waitingFor = undefined;
      root.hidden = true;
    },
    draw,
  };
}

function waitingWords({ action, id, expiresAt }: Approval): string {
  const not = action === 'kill' ? 'Nothing is stopped yet.' : 'The order still stands.';
  return `${not} Another operator must approve it by ${clock(expiresAt)}: at the top of this page, or by “muster approve ${id}”.`;
}
