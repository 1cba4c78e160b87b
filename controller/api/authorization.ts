// Who asks: each request is by a named operator, told by the bearer token.
import { setTimeout as realPause } from 'node:timers/promises';
import type { Inventory } from '../../inventory/inventory.ts';
import { tokenSha256 } from '../../inventory/operators/operators.ts';
import { startRepeatedEvents } from '../kill/repeated-events.ts';
import { RefusedError, type Server } from './http.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The operator's name; empty where no token, or nobody's, came with the request. */
    operator: string;
  }
}

/** What anybody may ask for: whether we live, and the page's own files, which ask for a token then. */
const openRoutes: ReadonlySet<string | undefined> = new Set(['/healthz', '/', '/page/*']);

/** Who sends a wrong token waits this long for the answer, and so many may wait; the rest is refused at once. */
const wrongTokenMs = 100;
const wrongTokensAtOnce = 16;

/** Every request but for `openRoutes` wants the token of an operator. `rootToken` is the one in the state directory. */
export function authorizeOperators(
  app: Server,
  { inventory, rootToken }: { inventory: Inventory; rootToken: string },
): void {
  let wrongTokens = 0;
  const guesses = startRepeatedEvents({
    tell: (subject, message) => inventory.events.add({ kind: 'controller', subject, message }),
    now: () => performance.now(),
  });
  app.decorateRequest('operator', '');
  app.addHook('onReady', () => inventory.operators.setRoot(tokenSha256(rootToken)));
  app.addHook('onRequest', async (request) => {
    const { url } = request.routeOptions;
    refuseOtherSites(request.headers, url);
    // Compared by its hash: how long that takes tells nothing about the token.
    const token = /^Bearer (.{1,200})$/.exec(request.headers.authorization ?? '')?.[1];
    request.operator = (token === undefined ? undefined : inventory.operators.nameOf(tokenSha256(token))) ?? '';
    if (request.operator !== '') app.connections.prove(request.raw.socket);
    if (request.operator !== '' || openRoutes.has(url)) return;
    if (token !== undefined) {
      guesses.note({ kind: request.ip, subject: 'operators', message: `a wrong token came from ${request.ip}` });
      if (wrongTokens >= wrongTokensAtOnce)
        throw new RefusedError(429, 'cannot look at this token: too many wrong ones at once, want a pause');
      wrongTokens++;
      await realPause(wrongTokenMs).finally(() => wrongTokens--);
    }
    throw new RefusedError(401, 'cannot answer without an operator\u2019s token, want it as a bearer token');
  });
}

/** Browsers say whose page it is that asks. A page of another site may lead people to ours, and no more. */
function refuseOtherSites(headers: Record<string, unknown>, url: string | undefined): void {
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return;
  if (url === '/' && headers['sec-fetch-mode'] === 'navigate') return;
  throw new RefusedError(
    403,
    `cannot answer a page of another site: it is ${JSON.stringify(site).slice(0, 40)}, want same-origin`,
  );
}
