// Changes to the rack. Each carries the operators' token, which comes from `#token=…` of the address that
// `npm start` prints, or is asked for; it lives in this tab's session storage and nowhere else.
import type { KillOrder } from '../../protocol/api.ts';
import { byId, setText } from './element.ts';

const storageKey = 'muster-token';

/** Takes the token out of the address, so that it is in no history, bookmark or screenshot. */
export function takeTokenFromAddress(): void {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return;
  sessionStorage.setItem(storageKey, token);
  history.replaceState(null, '', `${location.pathname}${location.search}`);
}

export type Outcome = { done: KillOrder } | { refused: string } | { cancelled: true };

/** Sends a change; asks for the token when there is none or it is refused, until it fits or the operator gives up. */
export async function change(path: string, body: object): Promise<Outcome> {
  let question = 'Changes need the operators’ token. It was printed when the controller was started.';
  for (;;) {
    const token = sessionStorage.getItem(storageKey) ?? (await askForToken(question));
    if (token === undefined) return { cancelled: true };
    sessionStorage.setItem(storageKey, token);
    // A header carries visible ASCII only; what is none of it cannot be the token.
    const answer = /^[!-~]+$/.test(token) ? await send(path, body, token) : undefined;
    if (answer !== undefined && answer.status !== 401) return answer.outcome;
    sessionStorage.removeItem(storageKey);
    question = 'That token was refused. Please try again.';
  }
}

async function send(path: string, body: object, token: string): Promise<{ status: number; outcome: Outcome }> {
  let response: Response;
  let said: unknown;
  try {
    response = await fetch(path, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    });
    if (response.ok) {
      // The parse edge: the controller answers by the schema of `KillOrder`.
      const done: KillOrder = await response.json();
      return { status: response.status, outcome: { done } };
    }
    said = await response.json();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { status: 0, outcome: { refused: `The controller did not answer (${why}). It may or may not have heard.` } };
  }
  const sentence = typeof said === 'object' && said !== null && 'error' in said ? said.error : undefined;
  const refused = typeof sentence === 'string' ? sentence : `The controller answered ${response.status}.`;
  return { status: response.status, outcome: { refused } };
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
        const token = input.value.trim();
        input.value = '';
        resolve(dialog.returnValue === 'ok' && token !== '' ? token : undefined);
      },
      { once: true },
    );
  });
}
