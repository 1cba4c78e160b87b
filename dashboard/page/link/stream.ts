// The live connection. It is a `fetch` that does not end, and no `EventSource`, which cannot send the operator's token. It
// begins again after a cut, after an answer that is an error, and when the other end went without a word; where the controller
// remembers what came since, it goes on there, else with a snapshot.
import { eventParser } from './event-parser.ts';
import { messageKinds, type Message } from '../rack-state.ts';
import { askedToken, refuseToken } from './token.ts';

/** `locked`: without a token there is nothing to see. */
export type Connection = 'connecting' | 'live' | 'reconnecting' | 'locked';

const retryAfterMs = 1_500;
/** The controller sends samples each second while nodes are ready; after this long without a word we ask anew. */
const quietLimitMs = 30_000;

export interface Following {
  hear: (message: Message) => void;
  changed: (connection: Connection) => void;
  /** Resolves when somebody wants to be asked for the token again. */
  unlock: () => Promise<void>;
}

export async function followRack(following: Following): Promise<never> {
  const { changed, unlock } = following;
  const place: Place = { lastId: undefined };
  for (;;) {
    const token = await askedToken();
    if (token === undefined) {
      changed('locked');
      await unlock();
      continue;
    }
    if ((await listen({ token, place }, following)) === 'refused') {
      refuseToken(token);
      continue;
    }
    changed('reconnecting');
    await new Promise((resolve) => setTimeout(resolve, retryAfterMs));
  }
}

/** How far it has been heard. */
interface Place {
  lastId: string | undefined;
}

async function listen(
  { token, place }: { token: string; place: Place },
  { hear, changed }: Following,
): Promise<'refused' | 'cut'> {
  const quiet = new AbortController();
  const end = () => quiet.abort();
  let timer = setTimeout(end, quietLimitMs);
  try {
    const response = await fetch('/v1/stream', {
      headers: {
        authorization: `Bearer ${token}`,
        ...(place.lastId === undefined ? {} : { 'last-event-id': place.lastId }),
      },
      cache: 'no-store',
      signal: quiet.signal,
    });
    if (response.status === 401) return 'refused';
    if (!response.ok || response.body === null) return 'cut';
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = eventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return 'cut';
      clearTimeout(timer);
      timer = setTimeout(end, quietLimitMs);
      for (const { event, data, id } of parse(value)) {
        if (event === 'resumed') changed('live');
        const kind = messageKinds.find((each) => each === event);
        if (kind === undefined) continue;
        // The parse edge: both ends come from one checkout and share `protocol/api/`.
        const message: Message = { kind, data: JSON.parse(data) };
        hear(message);
        if (id !== undefined) place.lastId = id;
        // Live means: what is shown is what is. An open connection without its snapshot is not that yet.
        if (kind === 'snapshot') changed('live');
      }
    }
  } catch {
    // A connection that was cut, ours or the other end's doing; what is wrong shows at the next attempt.
    return 'cut';
  } finally {
    clearTimeout(timer);
    quiet.abort();
  }
}
