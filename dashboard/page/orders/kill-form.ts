// What is asked before anything is stopped: the name has to be typed, the reason has to be given.
import { byId, setText } from '../element.ts';
import { boundMs } from '../../../protocol/timing.ts';
import { everything, type RackState } from '../rack-state.ts';
import { holdBound, seconds, some } from '../words.ts';
import { holdingIn, killScope } from './kill-scope.ts';

export interface KillFormOptions {
  state: RackState;
  /** Gives the order; why it was refused, or nothing. */
  give: (reason: string) => Promise<string>;
}

export interface KillForm {
  /** Shows it, empty, for this scope. */
  open(scope: string): void;
  hide(): void;
  /** What the order would stop is what is there now. */
  draw(): void;
}

export function killForm({ state, give }: KillFormOptions): KillForm {
  const form = byId('kill-form', HTMLFormElement);
  const name = byId('kill-name', HTMLInputElement);
  const reason = byId('kill-reason', HTMLInputElement);
  const refusal = byId('kill-refusal', HTMLElement);
  const needs = byId('kill-needs', HTMLElement);
  const submit = byId('kill-submit', HTMLButtonElement);
  let scope = '';
  let isSending = false;

  /** What is still wanted before the order can be given, and the field where it goes. */
  const missing = () => [
    ...(name.value.trim() === nameOf(scope) ? [] : [{ field: name, words: `the name “${nameOf(scope)}”` }]),
    ...(reason.value.trim() === '' ? [{ field: reason, words: 'a reason' }] : []),
  ];
  // Not `disabled`: who cannot see the button must reach it too, and hear what it waits for.
  const check = () => {
    const open = missing();
    submit.setAttribute('aria-disabled', String(isSending || open.length > 0));
    const words = open.map((each) => each.words).join(' and ');
    setText(needs, open.length === 0 ? '' : `Still needed: ${words}.`);
  };
  form.addEventListener('input', check);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (isSending) return;
    const [first] = missing();
    if (first === undefined) void send();
    else first.field.focus();
  });

  async function send(): Promise<void> {
    isSending = true;
    check();
    setText(refusal, '');
    const refused = await give(reason.value.trim());
    isSending = false;
    check();
    if (refused !== '') setText(refusal, refused);
  }

  function describe(): void {
    const all = scope === everything;
    const holding = holdingIn(state, scope);
    setText(byId('kill-title', HTMLElement), all ? 'Stop everything' : `Stop ${scope}`);
    setText(
      byId('kill-what', HTMLElement),
      `${all ? 'Every customer: ' : ''}${killScope(state, scope)}. What runs is stopped within ${seconds(boundMs)}, and ` +
        'nothing starts until somebody lifts the order.' +
        (all && state.status?.twoPersonRule === true ? ' A second operator must approve it first.' : ''),
    );
    const warning = byId('kill-warning', HTMLElement);
    warning.hidden = holding.length === 0;
    setText(warning, `${some(holding)}: holds on silence. ${holdBound}`);
    setText(byId('kill-name-label', HTMLElement), `Type “${nameOf(scope)}” to confirm`);
    setText(submit, all ? 'Stop everything' : `Stop ${scope}`);
  }

  return {
    open(asked) {
      scope = asked;
      form.reset();
      form.hidden = false;
      setText(refusal, '');
      describe();
      check();
    },
    hide() {
      form.hidden = true;
    },
    draw() {
      if (!form.hidden) describe();
    },
  };
}

/** What is typed to confirm an order, and is said to be stopped by it. */
export function nameOf(scope: string): string {
  return scope === everything ? 'everything' : scope;
}
