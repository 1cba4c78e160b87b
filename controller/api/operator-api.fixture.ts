// The operators' API for tests, registered as the controller does it: over the caller's inventory, with an image store and a
// stream of its own. Nothing listens until the caller lets it; `ask` needs no socket.
import { randomBytes } from 'node:crypto';
import type { Inventory } from '../../inventory/inventory.ts';
import type { SliceOptions } from '../../inventory/slices.ts';
import { statusCounts } from './views.ts';
import { createServer, type Server } from './serving/http.ts';
import { openImageStore, type ImageStore } from '../images/image-store.ts';
import { createNodeShell } from '../kill/node-shell.ts';
import { registerOperatorApi, type OperatorApiOptions } from './operator-api.ts';
import type { RollCall } from '../kill/roll-call/roll-call.ts';
import { startStream } from './stream/stream.ts';

export interface OperatorApi extends AsyncDisposable {
  app: Server;
  images: ImageStore;
  /** As an operator, `root` unless a token is given. The body is the answer's document, or its text where it is none. */
  readonly ask: (
    /** `POST /v1/kill` */
    route: string,
    said?: { body?: object | undefined; token?: string },
  ) => Promise<{ status: number; body: unknown }>;
}

type Left = 'power' | 'metrics' | 'wallClock' | 'token' | 'twoPersonWaitMs';

export interface OperatorApiParts extends Partial<Pick<OperatorApiOptions, Left>> {
  inventory: Inventory;
  rollCall: RollCall;
  /** Of the image store; made where it is missing. */
  directory: string;
  /** Of the stream. */
  turns?: SliceOptions;
  /** Where the caller wants another server than the controller's, or has registered something on it. */
  app?: Server;
}

export async function openOperatorApi({
  inventory,
  rollCall,
  directory,
  app = createServer(),
  metrics = () => '',
  wallClock = Date.now,
  token = 'secret',
  twoPersonWaitMs,
  power,
  turns,
}: OperatorApiParts): Promise<OperatorApi> {
  const startedAt = Date.now();
  const status = () => ({
    version: '0',
    startedAt,
    startupMs: 0,
    rack: 'rack-1',
    twoPersonRule: twoPersonWaitMs !== undefined,
    ...statusCounts(inventory),
  });
  const images = await openImageStore({ directory, inventory, random: randomBytes, wallClock });
  const stream = startStream({ inventory, status, turns });
  const shell = createNodeShell('');
  const own = { images, shell, stream, status };
  registerOperatorApi(app, { inventory, rollCall, ...own, power, metrics, wallClock, token, twoPersonWaitMs });
  return {
    app,
    images,
    ask: async (route, { body, token: own = token } = {}) => {
      const headers = { authorization: `Bearer ${own}` };
      const payload = body === undefined ? {} : { payload: body };
      const answer = await app.inject({ ...methodAndUrl(route), headers, ...payload });
      const isJson = answer.headers['content-type']?.toString().includes('json') === true;
      return { status: answer.statusCode, body: isJson ? answer.json() : answer.body };
    },
    async [Symbol.asyncDispose]() {
      stream.close();
      await app.close();
    },
  };
}

/** Of `POST /v1/kill`. */
export function methodAndUrl(route: string): { method: InjectMethod; url: string } {
  const [method = '', url = ''] = route.split(' ');
  const known = (['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const).find((each) => each === method);
  if (known === undefined) throw new Error(`cannot ask ${route}: want a method and a path`);
  return { method: known, url };
}

type InjectMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A roll call that hears no board and sends nothing. */
export function idleRollCall(): RollCall {
  return {
    counters: { beacons: 0, heartbeats: 0, permits: 0, refused: 0, sendErrors: 0 },
    enforce: () => undefined,
    orderGiven: () => undefined,
    sinceGiven: () => 0,
    askedForMs: () => 0,
    listeningForMs: () => 0,
    mayHold: () => false,
    heardUpTo: () => 0,
    taken: () => Promise.resolve(),
  };
}
