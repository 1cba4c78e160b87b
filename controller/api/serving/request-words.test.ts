import assert from 'node:assert/strict';
import { test } from 'node:test';
import { customerRoutes } from '../../../protocol/api/customers.ts';
import { eventRoutes } from '../../../protocol/api/events.ts';
import { logRoutes } from '../../../protocol/api/logs.ts';
import { nodeRoutes } from '../../../protocol/api/nodes.ts';
import { orderRoutes } from '../../../protocol/api/orders.ts';
import { workloadRoutes } from '../../../protocol/api/workloads.ts';
import { createServer, served } from './http.ts';

const routes = [
  customerRoutes.addCustomer,
  eventRoutes.listEvents,
  logRoutes.getLogs,
  nodeRoutes.changeNode,
  nodeRoutes.switchNodePower,
  orderRoutes.kill,
  orderRoutes.listOrders,
  orderRoutes.getOrder,
  workloadRoutes.putWorkload,
];

const [web, node] = ['PUT /v1/workloads/acme/web', 'PATCH /v1/nodes/node-1'];
const table: [asked: string, body: unknown, words: string][] = [
  [web, { image: 'web', port: -1 }, 'cannot accept "port": it is -1, want a whole number from 1 to 65535'],
  [web, { image: 'web', port: '80' }, 'cannot accept "port": it is "80", want a whole number from 1 to 65535'],
  [web, { image: 'web', cpu: 0 }, 'cannot accept "cpu": it is 0, want a number from 0.05 to 256'],
  [web, { image: 'web', env: { A: 1 } }, 'cannot accept "env.A": it is 1, want text of at most 4096 characters'],
  [web, { port: 80 }, 'cannot accept the body without "image", want an image’s name of 1 to 100 characters, a-z'],
  [web, { image: 'Web' }, 'cannot accept "image": it is "Web", want an image’s name of 1 to 100 characters, a-z, 0-9'],
  [
    web,
    { image: 'web', prot: 80 },
    'cannot accept the body: it has no "prot", want image, replicas, command, env, port',
  ],
  [web, [], 'cannot accept the body: it is a list of 0, want an object'],
  [web, { image: 'x'.repeat(60_000) }, `cannot accept "image": it is "${'x'.repeat(60)}…" (60000 characters), want`],
  [
    'PUT /v1/workloads/Acme/web',
    { image: 'web' },
    'cannot accept "customer": it is "Acme", want a customer’s name of 1',
  ],
  [node, { slot: 99_999 }, 'cannot accept "slot": it is 99999, want a whole number from 1 to 4096'],
  [
    node,
    { name: 'Node 1' },
    'cannot accept "name": it is "Node 1", want a node’s name of 1 to 32 characters, a-z, 0-9',
  ],
  [node, {}, 'cannot accept the body: nothing is in it, want at least one of name, slot, fenced'],
  ['POST /v1/nodes/node-1/power', { state: 'up' }, 'cannot accept "state": it is "up", want "on" or "off"'],
  ['POST /v1/kill', { customer: 'acme' }, 'cannot accept the body without "reason", want text of 1 to 500 characters'],
  ['POST /v1/kill', { everything: false, reason: 'x' }, 'cannot accept "everything": it is false, want true'],
  ['POST /v1/customers', { name: 'acme', onSilence: 'go' }, 'cannot accept "onSilence": it is "go", want "stop" or'],
  [
    'GET /v1/workloads/acme/web/logs?instance=zzz',
    undefined,
    'cannot accept "instance": it is "zzz", want an instance’s id, its',
  ],
  [
    'GET /v1/workloads/acme/web/logs?tail=-1',
    undefined,
    'cannot accept "tail": it is "-1", want a whole number of at most 15',
  ],
  ['GET /v1/events?limit=1&limit=2', undefined, 'cannot accept "limit": it is a list of 2, want a whole number'],
  [
    'GET /v1/events?sbject=x',
    undefined,
    'cannot accept the query parameter "sbject": it is not known here, want after, limit, subject',
  ],
  ['GET /v1/kill/3?full=1', undefined, 'cannot accept the query parameter "full": it is not known here, want none'],
  [
    'GET /v1/kill/three',
    undefined,
    'cannot accept "number": it is "three", want a whole number of at most 15 digits, as 100',
  ],
];

test('what is wrong with a request is said by its first fault, with the value and the rule in words', async (t) => {
  const app = createServer();
  t.after(() => app.close());
  for (const route of routes) app.route({ ...served(route), handler: (_request, reply) => reply.status(204).send() });
  for (const [asked, body, words] of table) {
    const [method, url = ''] = asked.split(' ');
    const sent =
      body === undefined ? {} : { payload: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    const answer = await app.inject({
      method: method === 'PUT' ? 'PUT' : method === 'PATCH' ? 'PATCH' : method === 'POST' ? 'POST' : 'GET',
      url,
      ...sent,
    });
    const { detail, code }: { detail: string; code: string } = answer.json();
    assert.equal(answer.statusCode, 400, `${asked} ${detail}`);
    assert.ok(detail.startsWith(words), `${detail}\n${words}`);
    assert.equal(code, detail.includes('query parameter') ? 'unknown-parameter' : 'invalid-request');
    assert.doesNotMatch(detail, /[\^$\\]|\[a-z|\n/, 'no pattern');
  }
});
