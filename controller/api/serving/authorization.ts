// Who asks, and whether they may: each request is by a named operator, told by the bearer token, who has a role.
import type { Inventory } from '../../../inventory/inventory.ts';
import { tokenSha256 } from '../../../inventory/operators/operators.ts';
import { RateLimit } from '../../rate-limit.ts';
import { startRepeatedEvents } from '../../kill/repeated-events.ts';
import { accessRefusal, type Asking } from './access.ts';
import { RefusedError, type Server } from './http.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The operator's name; empty where no token, or nobody's, came with the request. */
    operator: string;
    /** The same with its role. Of nobody where the route wants no token. */
    asking: Asking;
  }
  interface FastifyContextConfig {
    /** The page's own files, which ask for a token themselves; the API's routes say it in their description. */
    needsNoToken?: boolean;
  }
}

/** Who mistypes is told at once; who guesses finds out one a second. A right token is never slowed. */
const wrongTokensOfAddress = { burst: 20, perSecond: 1 };
const wrongTokensTogether = { burst: 100, perSecond: 10 };

/** Counts wrong tokens and tells of them: false where their sender, or all together, have sent too many lately. */
export function wrongTokenGate(inventory: Inventory, subject: string): (ip: string) => boolean {
  const now = () => performance.now();
  const ofAddress = new RateLimit({ ...wrongTokensOfAddress, now });
  const together = new RateLimit({ ...wrongTokensTogether, now });
  const guesses = startRepeatedEvents({
    tell: (about, message) => inventory.events.add({ kind: 'controller', subject: about, message }),
    now,
  });
  return (ip) => {
    guesses.note({ kind: ip, subject, message: `a wrong token came from ${ip}` });
    return ofAddress.admit(ip) && together.admit();
  };
}

/** Every request but for open ones wants the token of an operator. `rootToken` is the one in the state directory. */
export function authorizeOperators(
  app: Server,
  { inventory, rootToken }: { inventory: Inventory; rootToken: string },
): void {
  const admitsWrongToken = wrongTokenGate(inventory, 'operators');
  app.decorateRequest('operator', '');
  app.decorateRequest('asking');
  app.addHook('onReady', () => inventory.operators.setRoot(tokenSha256(rootToken)));
  app.addHook('onRequest', async (request) => {
    const { url } = request.routeOptions;
    refuseOtherSites(request.headers, url);
    // Compared by its hash: how long that takes tells nothing about the token.
    const token = /^Bearer (.{1,200})$/.exec(request.headers.authorization ?? '')?.[1];
    request.asking = (token === undefined ? undefined : inventory.operators.find(tokenSha256(token))) ?? nobody;
    request.operator = request.asking.name;
    if (request.operator !== '') app.connections.prove(request.raw.socket);
    const { needsNoToken = false, described } = request.routeOptions.config;
    if (needsNoToken || described?.security === 'none') return;
    if (request.operator !== '') {
      const { params, query } = request;
      const refusal =
        described === undefined ? undefined : accessRefusal(request.asking, { route: described, params, query });
      if (refusal !== undefined) throw new RefusedError(403, refusal);
      return;
    }
    if (token === undefined)
      throw new RefusedError(
        401,
        'cannot answer without an operator\u2019s token, want it as "Authorization: Bearer TOKEN": root\u2019s is in the file operator-token of the state directory',
        { headers: { 'www-authenticate': challenge } },
      );
    if (!admitsWrongToken(request.ip))
      throw new RefusedError(429, `cannot look at more wrong tokens from ${request.ip} now, want a pause of a second`, {
        headers: { 'retry-after': '1' },
      });
    throw new RefusedError(
      401,
      'cannot accept this token: no operator has it (any more), or its time is over: want another, which an operator makes with "muster operator add NAME"',
      { code: 'wrong-token', headers: { 'www-authenticate': `${challenge}, error="invalid_token"` } },
    );
  });
}

/** Reads nothing, whatever its routes forget to ask. */
const nobody: Asking = { name: '', role: 'deployer', customer: null, expiresAt: null };

const challenge = 'Bearer realm="muster"';

/** Browsers say whose page it is that asks. A page of another site may lead people to ours, and no more. */
function refuseOtherSites(headers: Record<string, unknown>, url: string | undefined): void {
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return;
  if ((url === '/' || url === '/reference') && headers['sec-fetch-mode'] === 'navigate') return;
  throw new RefusedError(
    403,
    `cannot answer a page of another site: it is ${JSON.stringify(site).slice(0, 40)}, want same-origin`,
    { code: 'other-site' },
  );
}
