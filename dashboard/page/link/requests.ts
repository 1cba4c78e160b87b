// What the page asks beside the stream. Each request carries the operator's token.
import type { Approval } from '../../../protocol/api/approvals.ts';
import type { KillOrder } from '../../../protocol/api/orders.ts';
import { askedToken, keptToken, refuseToken } from './token.ts';

export type Outcome<Answer> = { done: Answer } | { refused: string } | { cancelled: true };

/** What a kill or a lift is answered with: in force, or waiting for a second operator. */
export type OrderAnswer = KillOrder | Approval;

export function waits(answer: OrderAnswer): answer is Approval {
  return 'expiresAt' in answer;
}

export interface Change {
  method?: 'POST' | 'DELETE';
  path: string;
  body?: object;
}

/** Sends a change; asks for the token when there is none or it is refused, until it fits or the operator gives up. */
export async function change<Answer>(asked: Change): Promise<Outcome<Answer>> {
  for (;;) {
    const token = await askedToken();
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
  if (typeof said !== 'object' || said === null) return `The controller answered ${status}.`;
  const sentence = 'detail' in said ? said.detail : 'error' in said ? said.error : undefined;
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
    const token = keptToken();
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
