import type { IncomingMessage } from 'node:http';

/** How long a refused sender has to read why. */
const lingerMs = 3_000;

/**
 * A connection that is closed with something unread is reset, and who still sends never reads the answer: what comes after
 * a refusal is thrown away for a while, until the sender closes.
 */
export function readOn(request: IncomingMessage): void {
  if (request.complete) return;
  const { socket } = request;
  // What the server calls when the answer is written.
  socket.destroySoon = () => {
    socket.end();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => clearTimeout(timer));
  };
  request.resume();
}
