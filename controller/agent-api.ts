// What agents ask over TLS on the rack's interface: join, what should run, reports, images. See `agentRoutes`.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import { claimedSessionId, isAuthorized } from '../protocol/agent-authorization.ts';
import { Desired, JoinAnswer, JoinRequest, Refusal, Report } from '../protocol/api.ts';
import { macPattern } from '../protocol/mac.ts';
import { sha256Pattern } from '../protocol/names.ts';
import type { Inventory } from '../inventory/inventory.ts';
import { RefusedError, type Server } from './http.ts';

const MacParams = Type.Object({ mac: Type.String({ pattern: macPattern }) });

export interface AgentApiOptions {
  inventory: Inventory;
  squashfsDirectory: string;
  /** Wall clock, ms. */
  now: () => number;
}

export function registerAgentApi(app: Server, { inventory, squashfsDirectory, now }: AgentApiOptions): void {
  app.post(
    '/v1/join',
    { schema: { body: JoinRequest, response: { 200: JoinAnswer, 403: Refusal } } },
    async (request) => {
      const answer = await inventory.join(request.body, request.ip);
      if ('refused' in answer) {
        inventory.addEvent('node', request.body.mac, `join refused: ${answer.refused}`);
        throw new RefusedError(403, `cannot join: ${answer.refused}`);
      }
      return answer;
    },
  );

  /** The session that the request proves; the node in the path, if any, must be the session's own. */
  function authorize(
    request: { method: string; url: string; headers: { authorization?: string | undefined } },
    mac?: string,
  ): void {
    const header = request.headers.authorization ?? '';
    const session = inventory.session(claimedSessionId(header) ?? '');
    if (session === undefined || !isAuthorized(header, session, request.method, request.url))
      throw new RefusedError(401, 'cannot accept request: no standing session proves it, want a join first');
    if (mac !== undefined && mac !== session.mac)
      throw new RefusedError(403, `cannot accept request: the session is of ${session.mac}, not of ${mac}`);
  }

  app.get('/v1/nodes/:mac/desired', { schema: { params: MacParams, response: { 200: Desired } } }, (request) => {
    authorize(request, request.params.mac);
    return Promise.resolve(inventory.desired(request.params.mac));
  });

  app.post('/v1/nodes/:mac/report', { schema: { params: MacParams, body: Report } }, async (request) => {
    const { mac } = request.params;
    authorize(request, mac);
    const { instances, sample, facts, logs } = request.body;
    await inventory.saveReport(mac, instances);
    if (facts !== null) await inventory.saveFacts(mac, facts);
    const at = now();
    if (sample !== null) inventory.addSamples(new Map([[mac, sample]]), at);
    // A node may speak of its own instances only.
    const own = new Map(inventory.instancesOn(mac).map((instance) => [instance.id, instance]));
    inventory.addLogs(
      logs.flatMap(({ agoMs, instance, stream, text }) => {
        const known = own.get(instance);
        if (known === undefined) return [];
        const { customer, workload } = known;
        return [{ at: Math.max(0, Math.round(at - Math.max(0, agoMs))), instance, stream, text, customer, workload }];
      }),
    );
    return {};
  });

  app.get(
    '/v1/squashfs/:sha256',
    { schema: { params: Type.Object({ sha256: Type.String({ pattern: sha256Pattern }) }) } },
    async (request, reply) => {
      authorize(request);
      const path = join(squashfsDirectory, `${request.params.sha256}.squashfs`);
      const found = await stat(path).catch(() => undefined);
      if (found === undefined)
        throw new RefusedError(404, `there is no image with the digest ${request.params.sha256}`);
      return reply.header('content-length', found.size).type('application/octet-stream').send(createReadStream(path));
    },
  );
}
