// The operator's token: it comes with `#token=…` of the address that `npm start` prints, or is asked for, and lives in this
// tab's session storage and nowhere else.
import type { Whoami } from '../../../protocol/api/operators.ts';
import { byId, setText } from '../element.ts';

const storageKey = 'muster-token';
const patienceMs = 15_000;
/** A header carries visible ASCII only; what is none of it cannot be of the token. */
const unsendable = /[^!-~]/g;

/** Takes the token out of the address, so that it is in no history, bookmark or screenshot; the rest of it stays. */
export function takeTokenFromAddress(): void {
  const fields = new URLSearchParams(location.hash.slice(1));
  const token = fields.get('token');
  if (token === null) return;
  sessionStorage.setItem(storageKey, token.replaceAll(unsendable, ''));
  fields.delete('token');
  const rest = fields.toString();
  history.replaceState(null, '', `${location.pathname}${location.search}${rest === '' ? '' : `#${rest}`}`);
}

/** The one that this tab has; null where it has none. */
export function keptToken(): string | null {
  return sessionStorage.getItem(storageKey);
}

let asking: Promise<string | undefined> | undefined;
/** Why the last one is gone; empty where none was. */
let lastRefusal = '';

/** The operator's token; asks where this tab has none. Undefined where the operator gave up. */
export async function askedToken(): Promise<string | undefined> {
  const kept = keptToken();
  if (kept !== null) return kept;
  // The stream and a change may want it at the same time: there is one dialog.
  asking ??= askForToken().finally(() => (asking = undefined));
  return asking;
}

/** The controller does not know it (any more). */
export function refuseToken(token: string): void {
  // Another may have been entered meanwhile.
  if (keptToken() !== token) return;
  sessionStorage.removeItem(storageKey);
  lastRefusal = refusedWords;
}

const refusedWords = 'The controller refused that token: it is no operator’s, or no longer one. Copy it again, whole.';

let known: { token: string; name: string } | undefined;

/** The operator whose token this tab has; null where it has none, or nobody's. */
export async function operatorName(): Promise<string | null> {
  const token = keptToken();
  if (token === null) return null;
  if (known?.token === token) return known.name;
  const answer = await whoami(token);
  return 'name' in answer ? answer.name : null;
}

/** Whose the token is. `accepted`: it is somebody's, and the controller does not say whose. */
async function whoami(token: string): Promise<{ name: string } | { accepted: true } | { refused: string }> {
  let response: Response;
  try {
    const headers = { authorization: `Bearer ${token}` };
    response = await fetch('/v1/whoami', { headers, cache: 'no-store', signal: AbortSignal.timeout(patienceMs) });
    if (response.ok) {
      // The parse edge: both ends come from one checkout and share `protocol/api/`.
      const { name }: Whoami = await response.json();
      known = { token, name };
      return { name };
    }
  } catch (error) {
    return { refused: `The controller did not answer (${error instanceof Error ? error.message : String(error)}).` };
  }
  if (response.status === 404) return { accepted: true };
  if (response.status === 401) return { refused: refusedWords };
  return { refused: `The controller answered ${response.status}: wait a moment and try again.` };
}

/** The dialog stays until the token fits or the operator gives up: a wrong one is said at once, where it was typed. */
function askForToken(): Promise<string | undefined> {
  const dialog = byId('token-dialog', HTMLDialogElement);
  const form = byId('token-form', HTMLFormElement);
  const input = byId('token-input', HTMLInputElement);
  const submit = byId('token-submit', HTMLButtonElement);
  const refusal = byId('token-refusal', HTMLElement);
  let isChecking = false;
  let found: string | undefined;
  const refuse = (words: string) => {
    setText(refusal, words);
    input.setAttribute('aria-invalid', String(words !== ''));
  };
  const check = async (): Promise<void> => {
    const token = input.value.replaceAll(unsendable, '');
    if (isChecking) return;
    if (token === '') return refuse('Type the token, or choose Cancel.');
    isChecking = true;
    setText(submit, 'Checking…');
    const answer = await whoami(token);
    isChecking = false;
    setText(submit, 'Continue');
    if (!dialog.open) return;
    if ('refused' in answer) {
      refuse(answer.refused);
      input.select();
      return;
    }
    found = token;
    sessionStorage.setItem(storageKey, token);
    dialog.close();
  };
  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    void check();
  };
  input.value = '';
  refuse(lastRefusal);
  lastRefusal = '';
  dialog.showModal();
  input.focus();
  form.addEventListener('submit', onSubmit);
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        form.removeEventListener('submit', onSubmit);
        input.value = '';
        resolve(found);
      },
      { once: true },
    );
  });
}
