// What the page asks beside the stream. Each request carries the operator's token, which comes from `#token=…` of the
// address that `npm start` prints, or is asked for; it lives in this tab's session storage and nowhere else.
import type { Approval } from '../../protocol/api/approvals.ts';
import type { Whoami } from '../../protocol/api/operators.ts';
import type { KillOrder } from '../../protocol/api/orders.ts';
import { byId, setText } from './element.ts';

const storageKey = 'muster-token';

/** Takes the token out of the address, so that it is in no history, bookmark or screenshot. */
export function takeTokenFromAddress(): void {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return;
  sessionStorage.setItem(storageKey, token.replaceAll(/[^!-~]/g, ''));
  history.replaceState(null, '', `${location.pathname}${location.search}`);
}

export type Outcome<Answer> = { done: Answer } | { refused: string } | { cancelled: true };

/** What a kill or a lift is answered with: carried out, or waiting for a second operator. */
export type OrderAnswer = KillOrder | Approval;

export function waits(answer: OrderAnswer): answer is Approval {
  return 'expiresAt' in answer;
}

export interface Change {
  method?: 'POST' | 'DELETE';
  path: string;
  body?: object;
}

/** The operator's token; asks where this tab has none. Undefined where the operator gave up. */
export async function askedToken(question: string): Promise<string | undefined> {
  const kept = sessionStorage.getItem(storageKey);
  if (kept !== null) return kept;
  // The stream and a change may want it at the same time: there is one dialog.
  asking ??= askForToken(wasRefused ? 'That token was refused. Please try again.' : question).finally(
    () => (asking = undefined),
  );
  const token = await asking;
  if (token !== undefined) sessionStorage.setItem(storageKey, token);
  return token;
}
let asking: Promise<string | undefined> | undefined;
let wasRefused = false;

/** The controller does not know it (any more). */
export function refuseToken(token: string): void {
  // Another may have been entered meanwhile.
  if (sessionStorage.getItem(storageKey) !== token) return;
  sessionStorage.removeItem(storageKey);
  wasRefused = true;
}

/** Sends a change; asks for the token when there is none or it is refused, until it fits or the operator gives up. */
export async function change<Answer>(asked: Change): Promise<Outcome<Answer>> {
  for (;;) {
    const token = await askedToken(
      'Changes need your operator’s token: the one printed when the controller was started, or your own.',
    );
    if (token === undefined) return { cancelled: true };
    const answer = await send<Answer>(asked, token);
    if (answer.status !== 401) return answer.outcome;
    refuseToken(token);
  }
}

async function send<Answer>(
  { method = 'POST', path, body }: Change,
  token: string,
): Promise<{ status: number; outcome: Outcome<Answer> }> {
  let response: Response;
  let said: unknown;
  try {
    response = await fetch(path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    });
    if (response.ok) {
      // The parse edge: the controller answers by the schema that it was asked by.
      const done: Answer = await response.json();
      return { status: response.status, outcome: { done } };
    }
    said = await response.json();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { status: 0, outcome: { refused: `The controller did not answer (${why}). It may or may not have heard.` } };
  }
  return { status: response.status, outcome: { refused: sentenceOf(said, response.status) } };
}

function sentenceOf(said: unknown, status: number): string {
  const sentence = typeof said === 'object' && said !== null && 'error' in said ? said.error : undefined;
  return typeof sentence === 'string' ? sentence : `The controller answered ${status}.`;
}

/** A read, with the token that this tab has. */
export async function read<Answer>(
  path: string,
  patienceMs = 15_000,
): Promise<{ value: Answer } | { refused: string }> {
  // The parse edge: both ends come from one checkout and share `protocol/api/`.
  return answerOf<Answer>(path, { patienceMs, take: async (response) => response.json() });
}

/** A document to be opened in a window of its own, where no header with a token can be sent: its address in this tab. */
export async function readDocument(path: string): Promise<{ value: string } | { refused: string }> {
  return answerOf(path, { patienceMs: 15_000, take: async (response) => URL.createObjectURL(await response.blob()) });
}

async function answerOf<Value>(
  path: string,
  { patienceMs, take }: { patienceMs: number; take: (response: Response) => Promise<Value> },
): Promise<{ value: Value } | { refused: string }> {
  try {
    const token = sessionStorage.getItem(storageKey);
    const response = await fetch(path, {
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(patienceMs),
    });
    if (!response.ok) return { refused: sentenceOf(await response.json().catch(() => undefined), response.status) };
    return { value: await take(response) };
  } catch (error) {
    return { refused: `The controller did not answer (${error instanceof Error ? error.message : String(error)}).` };
  }
}

let known: { token: string; name: string } | undefined;

/** The operator whose token this tab has; null where it has none, or nobody's. */
export async function operatorName(): Promise<string | null> {
  const token = sessionStorage.getItem(storageKey);
  if (token === null) return null;
  if (known?.token === token) return known.name;
  const answer = await read<Whoami>('/v1/whoami');
  if ('refused' in answer) return null;
  known = { token, name: answer.value.name };
  return known.name;
}

function askForToken(question: string): Promise<string | undefined> {
  const dialog = byId('token-dialog', HTMLDialogElement);
  const input = byId('token-input', HTMLInputElement);
  setText(byId('token-question', HTMLElement), question);
  input.value = '';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        // A header carries visible ASCII only; what is none of it cannot be the token.
        const token = input.value.replaceAll(/[^!-~]/g, '');
        input.value = '';
        resolve(dialog.returnValue === 'ok' && token !== '' ? token : undefined);
      },
      { once: true },
    );
  });
}
