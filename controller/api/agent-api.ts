// What agents ask over TLS on the rack's interface: join, what should run, reports, images. See `agentRoutes`.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { claimedSessionId, isAuthorized } from '../../protocol/agent-authorization.ts';
import { agentRoutes } from '../../protocol/api/agent.ts';
import { configurationProblem, configurationText } from '../../protocol/desired-state.ts';
import { squashfsName } from '../../protocol/names.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { RefusedError, served, type Server } from './serving/http.ts';
import { RateLimit } from '../rate-limit.ts';
import { startRepeatedEvents } from '../kill/repeated-events.ts';

/** The longest join of an honest board, with 32 interfaces, is under 8 kB. Who sends it has proven nothing yet. */
const joinLimitBytes = 16_384;
/** An instance is some 100 bytes, log lines come in batches of 128 kB. */
const reportLimitBytes = 1_048_576;
/** A board that is refused asks twice, then after 0.5, 1, 2, … s. */
const joinsOfAddress = { burst: 20, perSecond: 2 };
/** A rack at once, and then what the disk has no trouble with. */
const joinsTogether = { burst: 700, perSecond: 50 };
/** An agent reports 10 times a second at most, while instances change. */
const reportsOfSession = { burst: 40, perSecond: 12 };

export interface AgentApiOptions {
  inventory: Inventory;
  squashfsDirectory: string;
  /** Wall clock, ms. */
  now: () => number;
}

/** What a session may come with, before anything else of the request is looked at. */
interface Claim {
  method: string;
  url: string;
  headers: { authorization?: string | undefined };
  raw: { socket: { remoteAddress?: string | undefined; remotePort?: number | undefined } };
}

export function registerAgentApi(app: Server, options: AgentApiOptions): void {
  const authorize = authorizer(app, options.inventory);
  registerJoin(app, options);
  registerReads(app, { ...options, authorize });
  registerReport(app, { ...options, authorize });
}

/** Whose session the request proves; the node in the path, if any, must be the session's own. */
type Authorize = (request: Claim, mac?: string) => string;

function authorizer(app: Server, inventory: Inventory): Authorize {
  return (request, mac) => {
    const header = request.headers.authorization ?? '';
    const session = inventory.nodes.session(claimedSessionId(header) ?? '');
    if (session === undefined || !isAuthorized(header, { session, method: request.method, path: request.url }))
      throw new RefusedError(401, 'cannot accept request: no standing session proves it, want a join first', {
        code: 'no-session',
        headers: { 'www-authenticate': 'Muster realm="muster agents"' },
      });
    if (mac !== undefined && mac !== session.mac)
      throw new RefusedError(403, `cannot accept request: the session is of ${session.mac}, not of its path`);
    app.connections.prove(request.raw.socket);
    return session.mac;
  };
}

function registerJoin(app: Server, { inventory, now }: AgentApiOptions): void {
  const ofAddress = new RateLimit({ ...joinsOfAddress, now });
  const together = new RateLimit({ ...joinsTogether, now });
  const refusals = startRepeatedEvents({
    tell: (subject, message) => inventory.events.add({ kind: 'node', subject, message }),
    now,
  });
  app.route({
    ...served(agentRoutes.join),
    bodyLimit: joinLimitBytes,
    onRequest: async (request) => {
      if (!ofAddress.admit(request.ip) || !together.admit())
        throw new RefusedError(429, 'cannot join: too many joins lately, want a pause', {
          headers: { 'retry-after': '1' },
        });
    },
    handler: async (request) => {
      const { mac } = request.body;
      const answer = await inventory.nodes.join(request.body, request.ip);
      if ('refused' in answer) {
        refusals.note({
          kind: `${request.ip} ${answer.refused.replaceAll(mac, '')}`,
          subject: mac,
          message: `join from ${request.ip} refused: ${answer.refused}`,
        });
        throw new RefusedError(403, `cannot join: ${answer.refused}`, { code: 'join-refused' });
      }
      app.connections.prove(request.raw.socket);
      return answer;
    },
  });
}

type Authorized = AgentApiOptions & { authorize: Authorize };

function registerReads(app: Server, { inventory, squashfsDirectory, authorize }: Authorized): void {
  app.route({
    ...served(agentRoutes.getDesired),
    onRequest: async (request) => void authorize(request, request.params.mac),
    handler: (request) => Promise.resolve(inventory.nodes.desired(request.params.mac)),
  });

  app.route({
    ...served(agentRoutes.getConfiguration),
    onRequest: async (request) => void authorize(request, request.params.mac),
    handler: async (request, reply) => {
      const { mac, sha256 } = request.params;
      // Environments hold secrets: a node gets those of the instances that are placed on it.
      const isPlaced = inventory.instances.on(mac).some(({ desired }) => desired.configuration === sha256);
      const configuration = isPlaced ? inventory.workloads.configuration(sha256) : undefined;
      if (configuration === undefined)
        throw new RefusedError(404, `no instance on this node has a configuration ${sha256}`);
      const problem = configurationProblem(configuration);
      if (problem !== undefined) throw new RefusedError(409, `cannot hand out its configuration: ${problem}`);
      // The very bytes that were hashed: the node checks them.
      return reply.type('application/json').send(Buffer.from(configurationText(configuration)));
    },
  });

  app.route({
    ...served(agentRoutes.getSquashfs),
    onRequest: async (request) => void authorize(request),
    handler: async (request, reply) => {
      const path = join(squashfsDirectory, squashfsName(request.params.sha256));
      const found = await stat(path).catch(() => undefined);
      if (found === undefined)
        throw new RefusedError(404, `there is no image with the digest ${request.params.sha256}`);
      return reply.header('content-length', found.size).type('application/octet-stream').send(createReadStream(path));
    },
  });
}

function registerReport(app: Server, { inventory, now, authorize }: Authorized): void {
  const reports = new RateLimit({ ...reportsOfSession, now });
  app.route({
    ...served(agentRoutes.report),
    bodyLimit: reportLimitBytes,
    // Before the body is read: whoever has no session has nothing to report.
    onRequest: async (request) => {
      if (!reports.admit(authorize(request, request.params.mac)))
        throw new RefusedError(429, 'cannot accept report: too many of this node lately, want a pause', {
          headers: { 'retry-after': '1' },
        });
    },
    handler: async (request) => {
      const { mac } = request.params;
      const { instances, sample, facts, logs } = request.body;
      await inventory.instances.report(mac, instances);
      if (facts !== null) await inventory.nodes.saveFacts(mac, facts);
      const at = now();
      if (sample !== null) inventory.samples.add(new Map([[mac, sample]]), at);
      // A node may speak of its own instances only.
      const own = new Map(inventory.instances.on(mac).map((instance) => [instance.id, instance]));
      inventory.logs.add(
        logs.flatMap(({ agoMs, instance, stream, text }) => {
          const known = own.get(instance);
          if (known === undefined) return [];
          const { customer, workload } = known;
          return [{ at: Math.max(0, Math.round(at - Math.max(0, agoMs))), instance, stream, text, customer, workload }];
        }),
      );
      return {};
    },
  });
}
