// Stopping a customer, or everything: the name has to be typed, the reason has to be given, and then the count is
// live until every node has stopped it. And the way back: lifting the order.
import type { Approval } from '../../../protocol/api/approvals.ts';
import type { KillOrder } from '../../../protocol/api/orders.ts';
import { byId, meter, setMeter, setText } from '../element.ts';
import { boundMs } from '../../../protocol/timing.ts';
import { holdingIn, killScope } from './kill-scope.ts';
import {
  everything,
  killProgress,
  standingOrders,
  waitingApprovals,
  type Changes,
  type Message,
  type RackState,
} from '../rack-state.ts';
import { change, waits, type OrderAnswer } from '../link/requests.ts';
import { clock, holdBound, seconds, some } from '../words.ts';

const wordForEverything = 'everything';

export interface KillDialog {
  /** A customer's name, or `*`. */
  open(scope: string): void;
  draw(changes: Changes): void;
  tick(): void;
}

export function killDialog({ state, hear }: { state: RackState; hear: (message: Message) => void }): KillDialog {
  const dialog = byId('kill-dialog', HTMLDialogElement);
  const form = byId('kill-form', HTMLFormElement);
  const name = byId('kill-name', HTMLInputElement);
  const reason = byId('kill-reason', HTMLInputElement);
  const refusal = byId('kill-refusal', HTMLElement);
  const needs = byId('kill-needs', HTMLElement);
  const submit = byId('kill-submit', HTMLButtonElement);
  const progress = byId('kill-progress', HTMLElement);
  const waiting = byId('kill-waiting', HTMLElement);
  const waitingText = byId('kill-waiting-words', HTMLElement);
  const bar = meter(0, 'Nodes that have stopped it');
  byId('kill-meter', HTMLElement).replaceChildren(bar);
  let scope = '';
  let isSending = false;
  let following: { number: number; sentAt: number } | undefined;
  let waitingFor: Approval | undefined;

  const wanted = () => (scope === everything ? wordForEverything : scope);
  /** What is still wanted before the order can be given, and the field where it goes. */
  const missing = () => [
    ...(name.value.trim() === wanted() ? [] : [{ field: name, words: `the name “${wanted()}”` }]),
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
  dialog.addEventListener('close', () => {
    following = undefined;
    waitingFor = undefined;
  });

  async function send(): Promise<void> {
    const sentFor = scope;
    isSending = true;
    check();
    setText(refusal, '');
    const target = sentFor === everything ? { everything: true } : { customer: sentFor };
    const sentAt = performance.now();
    const body = { ...target, reason: reason.value.trim() };
    const outcome = await change<OrderAnswer>({ path: '/v1/kill', body });
    isSending = false;
    check();
    if (!dialog.open || scope !== sentFor) return;
    if ('refused' in outcome) setText(refusal, outcome.refused);
    if (!('done' in outcome)) return;
    if (waits(outcome.done)) wait(outcome.done);
    else follow(outcome.done, sentAt);
  }

  /** Nothing has stopped: that must not be taken for a count that is about to begin. */
  function wait(approval: Approval): void {
    hear({ kind: 'approval', data: approval });
    form.hidden = true;
    waiting.hidden = false;
    waitingFor = approval;
    drawWaiting();
    byId('kill-waiting-close', HTMLButtonElement).focus();
  }

  function drawWaiting(): void {
    if (waitingFor === undefined) return;
    const order = standingOrders(state).find((each) => each.scope === scope);
    if (isWaiting(state, waitingFor)) setText(waitingText, waitingWords(waitingFor));
    // Approved: from here on it is a kill like any other.
    else if (order !== undefined) follow(order, performance.now());
    else setText(waitingText, 'Nothing was stopped: it was withdrawn, or nobody approved it in time.');
  }

  function follow(order: KillOrder, sentAt: number): void {
    // The stream may have brought a later count of this order already.
    if (!state.kills.has(order.number)) hear({ kind: 'kill', data: order });
    following = { number: order.number, sentAt };
    waitingFor = undefined;
    waiting.hidden = true;
    form.hidden = true;
    progress.hidden = false;
    setText(byId('kill-progress-title', HTMLElement), `Stopping ${wanted()}`);
    drawProgress();
    byId('kill-close', HTMLButtonElement).focus();
  }

  function drawProgress(): void {
    const order = following === undefined ? undefined : state.kills.get(following.number);
    if (order === undefined || following === undefined) return;
    const { done, count, unconfirmed } = killProgress(order);
    const late = !done && performance.now() - following.sentAt > boundMs;
    progress.dataset['outcome'] = done ? 'done' : late ? 'late' : 'running';
    setText(byId('kill-progress-title', HTMLElement), `${done ? 'Stopped' : 'Stopping'} ${wanted()}`);
    setText(byId('kill-count', HTMLElement), order.nodes === 0 ? 'No node was running it.' : count);
    setText(
      byId('kill-unconfirmed', HTMLElement),
      unconfirmed === '' ? '' : late ? `After ${seconds(boundMs)}. ${unconfirmed}` : unconfirmed,
    );
    setMeter(bar, order.nodes === 0 ? 1 : order.stopped / order.nodes);
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
    setText(byId('kill-name-label', HTMLElement), `Type “${wanted()}” to confirm`);
    setText(submit, all ? 'Stop everything' : `Stop ${scope}`);
  }

  return {
    open: (asked) => {
      scope = asked;
      following = undefined;
      waitingFor = undefined;
      form.reset();
      form.hidden = false;
      progress.hidden = true;
      waiting.hidden = true;
      setText(refusal, '');
      describe();
      check();
      dialog.showModal();
      name.focus();
    },
    draw: (changes) => {
      if (!dialog.open) return;
      // What an operator reads before the order is given is what is there now.
      if (!form.hidden && (changes.everything || changes.customers.size > 0)) describe();
      if (!(changes.everything || changes.kills || changes.approvals)) return;
      drawProgress();
      drawWaiting();
    },
    tick: () => {
      if (!dialog.open) return;
      drawProgress();
      drawWaiting();
    },
  };
}

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
  const waiting = byId('lift-waiting', HTMLElement);
  const waitingText = byId('lift-waiting-words', HTMLElement);
  let scope = '';
  let waitingFor: Approval | undefined;

  dialog.addEventListener('close', () => (waitingFor = undefined));

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
    if (!dialog.open || scope !== sentFor) return undefined;
    if ('refused' in outcome) setText(refusal, outcome.refused);
    // The banner goes when the stream says that the order is lifted, not before.
    if (!('done' in outcome)) return undefined;
    if (!waits(outcome.done)) {
      if (outcome.done.liftedAt !== null) dialog.close();
      else setText(refusal, 'Not lifted yet: the controller\u2019s disk does not take it. It tries again each second.');
      return undefined;
    }
    hear({ kind: 'approval', data: outcome.done });
    form.hidden = true;
    waiting.hidden = false;
    waitingFor = outcome.done;
    drawWaiting();
    byId('lift-waiting-close', HTMLButtonElement).focus();
    return undefined;
  }

  function drawWaiting(): void {
    if (waitingFor === undefined) return;
    if (isWaiting(state, waitingFor)) setText(waitingText, waitingWords(waitingFor));
    else if (!standingOrders(state).some((each) => each.scope === scope)) dialog.close();
    else setText(waitingText, 'The order still stands: it was withdrawn, or nobody approved it in time.');
  }

  return {
    open: (asked) => {
      scope = asked;
      form.reset();
      form.hidden = false;
      waiting.hidden = true;
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
      if (changes.everything || changes.kills || changes.approvals) drawWaiting();
    },
    tick: drawWaiting,
  };
}

function isWaiting(state: RackState, { id }: Approval): boolean {
  return waitingApprovals(state, Date.now()).some((approval) => approval.id === id);
}

function waitingWords({ action, id, expiresAt }: Approval): string {
  const not = action === 'kill' ? 'Nothing is stopped yet.' : 'The order still stands.';
  return `${not} Another operator must approve it by ${clock(expiresAt)}: at the top of this page, or by “muster approve ${id}”.`;
}
