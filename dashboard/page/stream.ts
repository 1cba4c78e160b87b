// The live connection: `EventSource` reconnects by itself after a cut, but gives up for good when a proxy or a
// restarting controller answers with an error, and does not notice a peer that went without a word.
import { messageKinds, type Message } from './rack-state.ts';

export type Connection = 'connecting' | 'live' | 'reconnecting';

const retryAfterMs = 1_500;
/** The controller sends samples each second while boards are ready; after this long without a word we ask anew. */
const quietLimitMs = 30_000;

export function followRack({
  hear,
  changed,
}: {
  hear: (message: Message) => void;
  changed: (connection: Connection) => void;
}): void {
  let lastHeardAt = performance.now();
  let source = open();

  function open(): EventSource {
    const opened = new EventSource('/v1/stream');
    for (const kind of messageKinds) {
      opened.addEventListener(kind, (event: MessageEvent<string>) => {
        lastHeardAt = performance.now();
        // The parse edge: both ends come from one checkout and share `protocol/api.ts`.
        const message: Message = { kind, data: JSON.parse(event.data) };
        hear(message);
        // Live means: what is shown is what is. An open connection without its snapshot is not that yet.
        if (kind === 'snapshot') changed('live');
      });
    }
    opened.addEventListener('error', () => {
      changed('reconnecting');
      if (opened.readyState === EventSource.CLOSED && opened === source) setTimeout(reopen, retryAfterMs);
    });
    return opened;
  }
  function reopen(): void {
    source.close();
    lastHeardAt = performance.now();
    source = open();
  }
  setInterval(() => {
    if (performance.now() - lastHeardAt > quietLimitMs && source.readyState === EventSource.OPEN) reopen();
  }, 5_000);
}
