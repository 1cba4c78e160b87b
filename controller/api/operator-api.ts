// What operators ask: the CLI, the dashboard, scripts, on the loopback address that this listens on. Every request wants an
// operator's token: reads cost the time that permits need, and tell who runs what.
import { Type } from 'typebox';
import { Approval } from '../../protocol/api/approvals.ts';
import { Customer, CustomerSpec } from '../../protocol/api/customers.ts';
import { Event } from '../../protocol/api/events.ts';
import { Image, Images } from '../../protocol/api/images.ts';
import { Instance } from '../../protocol/api/instances.ts';
import { LogPage } from '../../protocol/api/logs.ts';
import { Diagnosis, Node, NodePatch, NodePower, PowerRequest } from '../../protocol/api/nodes.ts';
import { KillOrder, KillRequest, KillTimeline, LiftRequest } from '../../protocol/api/orders.ts';
import { Status } from '../../protocol/api/status.ts';
import { Workload, WorkloadSpec } from '../../protocol/api/workloads.ts';
import { customerPattern, imageNamePattern, workloadPattern } from '../../protocol/names.ts';
import { parseMac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { NodeDocument } from '../../inventory/store/documents.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { customerView, instanceView, nodeView, orderTimeline, orderView, workloadView } from './views.ts';
import { registerAuditApi } from './audit-api.ts';
import { chain, orRefuse, RefusedError, shown, type Server } from './http.ts';
import type { ImageStore } from '../image-store.ts';
import { questions, type NodeShell } from '../kill/node-shell.ts';
import { authorizeOperators, createOrders, isDone, registerPeople } from './operators.ts';
import type { Power } from '../power/power.ts';
import type { RollCall } from '../kill/roll-call.ts';
import type { Stream } from './stream.ts';

const digits = Type.Optional(Type.String({ pattern: '^[0-9]{1,9}$' }));
const NodeParams = Type.Object({ node: Type.String({ maxLength: 64 }) });
const CustomerParams = Type.Object({ customer: Type.String({ pattern: customerPattern }) });
const WorkloadParams = Type.Object({
  customer: Type.String({ pattern: customerPattern }),
  name: Type.String({ pattern: workloadPattern }),
});
const ImageParams = Type.Object({ image: Type.String({ pattern: imageNamePattern }) });
const OrderParams = Type.Object({ number: Type.String({ pattern: '^[0-9]{1,9}$' }) });

export interface OperatorApiOptions {
  inventory: Inventory;
  rollCall: RollCall;
  images: ImageStore;
  shell: NodeShell;
  /** Left out where no PDU is configured. */
  power?: Power | undefined;
  stream: Stream;
  status: () => Status;
  metrics: () => string;
  /** Milliseconds since 1970. */
  wallClock?: () => number;
  /** Of the operator `root`. */
  token: string;
  /** The two-person rule is on, and a request waits this long for the second operator; off where left out. */
  twoPersonWaitMs?: number | undefined;
}

export function registerOperatorApi(app: Server, options: OperatorApiOptions): void {
  const { inventory, rollCall, images, shell, power, stream, status, metrics, token, twoPersonWaitMs } = options;
  authorizeOperators(app, { inventory, rootToken: token });
  const orders = createOrders({ inventory, rollCall, twoPersonWaitMs });
  registerPeople(app, { inventory, orders });
  registerAuditApi(app, { inventory, status, wallClock: options.wallClock ?? Date.now });
  // An uploaded image is read as a stream by its handler.
  app.addContentTypeParser('application/octet-stream', (_request, _payload, done) => done(null));

  app.get('/healthz', () => Promise.resolve({ ok: true }));
  app.get('/metrics', (_request, reply) => reply.type('text/plain; version=0.0.4; charset=utf-8').send(metrics()));
  app.get('/v1/status', { schema: { response: { 200: Status } } }, () => Promise.resolve(status()));
  app.get('/v1/stream', async (request, reply) => {
    reply.hijack();
    request.raw.socket.setTimeout(0);
    if (!stream.add(reply.raw)) reply.raw.writeHead(503).end('{"error":"too many listeners already"}');
  });

  // ---- nodes

  function nodeNamed(text: string): NodeDocument {
    const mac = parseMac(text);
    const found = inventory.nodes.all().find((node) => node.mac === mac || node.name === text);
    if (found === undefined) throw new RefusedError(404, `there is no node ${text}`);
    return found;
  }
  app.get('/v1/nodes', { schema: { response: { 200: Type.Object({ nodes: Type.Array(Node) }) } } }, () =>
    Promise.resolve({ nodes: inventory.nodes.all().flatMap(({ mac }) => nodeView(inventory, mac) ?? []) }),
  );
  app.get('/v1/nodes/:node', { schema: { params: NodeParams, response: { 200: Node } } }, (request) =>
    Promise.resolve(shown(nodeView(inventory, nodeNamed(request.params.node).mac))),
  );
  app.patch(
    '/v1/nodes/:node',
    { schema: { params: NodeParams, body: NodePatch, response: { 200: Node } } },
    async (request) => {
      const { mac } = nodeNamed(request.params.node);
      orRefuse(await inventory.nodes.patch(mac, request.body, { by: request.operator }));
      // A fenced node's next permit lists nobody: it need not wait for its heartbeat.
      if (request.body.fenced !== undefined) rollCall.enforce([mac]);
      return shown(nodeView(inventory, mac));
    },
  );
  app.delete('/v1/nodes/:node', { schema: { params: NodeParams } }, async (request) => {
    orRefuse(await inventory.nodes.remove(nodeNamed(request.params.node).mac, request.operator));
    return {};
  });
  app.get(
    '/v1/nodes/:node/diagnosis',
    { schema: { params: NodeParams, response: { 200: Diagnosis } } },
    async (request) => {
      const node = nodeNamed(request.params.node);
      const answers: Record<string, string> = {};
      for (const [name, command] of Object.entries(questions)) {
        const { stdout, stderr } = await shell.run({ ...node, ip: addressOf(node), hostKey: node.sshHostKey }, command);
        answers[name] = stdout || stderr;
      }
      return answers;
    },
  );
  app.post('/v1/nodes/:node/reboot', { schema: { params: NodeParams } }, async (request) => {
    const node = nodeNamed(request.params.node);
    // Sent to the background, so that the answer is out before the board goes down.
    await shell.run(
      { ...node, ip: addressOf(node), hostKey: node.sshHostKey },
      '(sleep 1; reboot -f) >/dev/null 2>&1 &',
    );
    inventory.events.add({ kind: 'node', subject: node.mac, message: `reboot asked for by ${request.operator}` });
    return {};
  });
  function powerOf(node: NodeDocument): { power: Power; told: Omit<NodePower, 'off'> } {
    const outlets = power?.outletsOf(node) ?? [];
    if (power === undefined || outlets.length === 0)
      throw new RefusedError(409, `cannot switch ${node.name}: no outlet is configured for it, see "power"`);
    return { power, told: { outlets, neighbours: power.neighboursOf(node).map(({ name }) => name) } };
  }
  app.get(
    '/v1/nodes/:node/power',
    { schema: { params: NodeParams, response: { 200: NodePower } } },
    async (request) => {
      const node = nodeNamed(request.params.node);
      const { power: own, told } = powerOf(node);
      return { ...told, off: await own.isOff(node, null).catch(fromPdu) };
    },
  );
  app.post(
    '/v1/nodes/:node/power',
    { schema: { params: NodeParams, body: PowerRequest, response: { 200: NodePower } } },
    async (request) => {
      const node = nodeNamed(request.params.node);
      const { power: own, told } = powerOf(node);
      const { state, neighbours } = request.body;
      if (state === 'off' && neighbours !== true && told.neighbours.length > 0)
        throw new RefusedError(
          409,
          `cannot switch off ${node.name} alone: ${told.neighbours.join(', ')} would lose power with it, want "neighbours"`,
        );
      await own.turn(state, node, null).catch(fromPdu);
      inventory.events.add({
        kind: 'node',
        subject: node.mac,
        message: `${request.operator} switched ${told.outlets.join(' and ')} ${state}`,
      });
      return { ...told, off: await own.isOff(node, null).catch(fromPdu) };
    },
  );
  function fromPdu(cause: unknown): never {
    throw new RefusedError(502, chain(cause));
  }
  function addressOf(node: NodeDocument): string {
    if (node.ip === null) throw new RefusedError(409, `cannot reach ${node.name}: it has no address yet`);
    return node.ip;
  }

  // ---- customers

  app.get(
    '/v1/customers',
    { schema: { response: { 200: Type.Object({ customers: Type.Array(Customer) }) } } },
    () =>
      Promise.resolve({
        customers: inventory.customers.all().flatMap(({ name }) => customerView(inventory, name) ?? []),
      }),
  );
  app.post(
    '/v1/customers',
    { schema: { body: CustomerSpec, response: { 201: Customer } } },
    async (request, reply) => {
      orRefuse(await inventory.customers.add(request.body, request.operator));
      return reply.status(201).send(shown(customerView(inventory, request.body.name)));
    },
  );
  app.delete('/v1/customers/:customer', { schema: { params: CustomerParams } }, async (request) => {
    orRefuse(await inventory.customers.remove(request.params.customer, request.operator));
    return {};
  });

  // ---- images

  app.get('/v1/images', { schema: { response: { 200: Images } } }, () =>
    Promise.resolve({ images: inventory.images.all(), imports: images.imports() }),
  );
  app.post(
    '/v1/images',
    {
      bodyLimit: 8 * 2 ** 30,
      schema: {
        querystring: Type.Object({ name: Type.String({ pattern: imageNamePattern }) }),
        response: { 201: Image },
      },
    },
    async (request, reply) => {
      request.raw.socket.setTimeout(0);
      // What is left unread of a refused archive must not be taken for this connection's next request.
      reply.header('connection', 'close');
      return reply.status(201).send(await images.receive(request.query.name, request.raw, request.operator));
    },
  );
  app.delete('/v1/images/:image', { schema: { params: ImageParams } }, async (request) => {
    await images.remove(request.params.image);
    return {};
  });

  // ---- workloads and instances

  app.get(
    '/v1/workloads',
    { schema: { response: { 200: Type.Object({ workloads: Type.Array(Workload) }) } } },
    () =>
      Promise.resolve({
        workloads: inventory.workloads
          .all()
          .flatMap(({ customer, name }) => workloadView(inventory, customer, name) ?? []),
      }),
  );
  function knownWorkload({ customer, name }: { customer: string; name: string }): void {
    if (inventory.workloads.get(customer, name) === undefined)
      throw new RefusedError(404, `there is no workload ${customer}/${name}`);
  }
  app.get(
    '/v1/workloads/:customer/:name',
    { schema: { params: WorkloadParams, response: { 200: Workload } } },
    (request) => {
      knownWorkload(request.params);
      return Promise.resolve(shown(workloadView(inventory, request.params.customer, request.params.name)));
    },
  );
  app.put(
    '/v1/workloads/:customer/:name',
    { schema: { params: WorkloadParams, body: WorkloadSpec, response: { 200: Workload } } },
    async (request) => {
      const { customer, name } = request.params;
      orRefuse(await inventory.workloads.put({ customer, name, spec: request.body }, request.operator));
      return shown(workloadView(inventory, customer, name));
    },
  );
  app.delete('/v1/workloads/:customer/:name', { schema: { params: WorkloadParams } }, async (request) => {
    knownWorkload(request.params);
    orRefuse(
      await inventory.workloads.remove(
        { customer: request.params.customer, name: request.params.name },
        request.operator,
      ),
    );
    return {};
  });
  app.get(
    '/v1/workloads/:customer/:name/logs',
    {
      schema: {
        params: WorkloadParams,
        querystring: Type.Object({
          tail: digits,
          instance: Type.Optional(Type.String({ maxLength: 64 })),
          before: Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$' })),
        }),
        response: { 200: LogPage },
      },
    },
    async (request) => {
      knownWorkload(request.params);
      const { customer, name } = request.params;
      const { instance, before } = request.query;
      const tail = Math.min(10_000, Number(request.query.tail ?? 100));
      return inventory.logs.list({
        customer,
        workload: name,
        tail,
        ...(instance === undefined ? {} : { instance }),
        ...(before === undefined ? {} : { before: Number(before) }),
      });
    },
  );
  app.get(
    '/v1/instances',
    {
      schema: {
        querystring: Type.Object({ customer: Type.Optional(Type.String({ pattern: customerPattern })) }),
        response: { 200: Type.Object({ instances: Type.Array(Instance) }) },
      },
    },
    (request) => {
      const { customer } = request.query;
      const wanted = inventory.instances.all().filter((each) => customer === undefined || each.customer === customer);
      return Promise.resolve({ instances: wanted.flatMap(({ id }) => instanceView(inventory, id) ?? []) });
    },
  );

  // ---- kill and lift

  function scopeOf({ customer, everything: all }: { customer?: string; everything?: true }): string {
    if ((customer === undefined) === (all === undefined))
      throw new RefusedError(400, 'cannot tell whom this is about: want either "customer" or "everything", not both');
    return customer ?? everything;
  }
  app.post(
    '/v1/kill',
    {
      schema: {
        body: KillRequest,
        response: { 201: KillOrder, 202: Type.Union([Approval, KillOrder]) },
      },
    },
    async (request, reply) => {
      const answer = await orders.kill(scopeOf(request.body), request.body.reason, request.operator);
      return isDone(answer) ? reply.status(201).send(answer) : reply.status(202).send(answer);
    },
  );
  app.post(
    '/v1/lift',
    {
      schema: {
        body: LiftRequest,
        response: { 200: KillOrder, 202: Type.Union([Approval, KillOrder]) },
      },
    },
    async (request, reply) => {
      const answer = await orders.lift(scopeOf(request.body), request.body.reason ?? '', request.operator);
      return isDone(answer) ? reply.status(200).send(answer) : reply.status(202).send(answer);
    },
  );
  app.get('/v1/kill', { schema: { response: { 200: Type.Object({ orders: Type.Array(KillOrder) }) } } }, () =>
    Promise.resolve({ orders: inventory.orders.all().flatMap(({ number }) => orderView(inventory, number) ?? []) }),
  );
  app.get('/v1/kill/:number', { schema: { params: OrderParams, response: { 200: KillTimeline } } }, (request) => {
    const number = Number(request.params.number);
    const timeline = orderTimeline(inventory, number);
    if (timeline === undefined) throw new RefusedError(404, `there is no kill order ${number}`);
    return Promise.resolve(timeline);
  });

  app.get(
    '/v1/events',
    {
      schema: {
        querystring: Type.Object({
          after: digits,
          limit: digits,
          subject: Type.Optional(Type.String({ maxLength: 100 })),
        }),
        response: { 200: Type.Object({ events: Type.Array(Event) }) },
      },
    },
    async (request) => {
      const { after, limit, subject } = request.query;
      return {
        events: await inventory.events.list({
          limit: Math.min(1_000, Number(limit ?? 100)),
          ...(after === undefined ? {} : { after: Number(after) }),
          ...(subject === undefined ? {} : { subject }),
        }),
      };
    },
  );
}
