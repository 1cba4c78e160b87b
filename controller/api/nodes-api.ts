// Nodes as operators see and change them, what a node answers by SSH, and its power.
import { Type } from 'typebox';
import { Diagnosis, Node, NodePatch, NodePower, PowerRequest } from '../../protocol/api/nodes.ts';
import { parseMac } from '../../protocol/mac.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { NodeDocument } from '../../inventory/store/documents.ts';
import { questions, type NodeShell } from '../kill/node-shell.ts';
import type { RollCall } from '../kill/roll-call.ts';
import type { Power } from '../power/power.ts';
import { chain, orRefuse, RefusedError, shown, type Server } from './http.ts';
import { nodeView } from './views.ts';

const NodeParams = Type.Object({ node: Type.String({ maxLength: 64 }) });

export interface NodesApiOptions {
  inventory: Inventory;
  rollCall: Pick<RollCall, 'enforce'>;
  shell: NodeShell;
  /** Left out where no PDU is configured. */
  power?: Power | undefined;
}

export function registerNodesApi(app: Server, options: NodesApiOptions): void {
  const { inventory, rollCall } = options;
  app.get('/v1/nodes', { schema: { response: { 200: Type.Object({ nodes: Type.Array(Node) }) } } }, () =>
    Promise.resolve({ nodes: inventory.nodes.all().flatMap(({ mac }) => nodeView(inventory, mac) ?? []) }),
  );
  app.get('/v1/nodes/:node', { schema: { params: NodeParams, response: { 200: Node } } }, (request) =>
    Promise.resolve(shown(nodeView(inventory, nodeNamed(inventory, request.params.node).mac))),
  );
  app.patch(
    '/v1/nodes/:node',
    { schema: { params: NodeParams, body: NodePatch, response: { 200: Node } } },
    async (request) => {
      const { mac } = nodeNamed(inventory, request.params.node);
      orRefuse(await inventory.nodes.patch(mac, request.body, { by: request.operator }));
      // A fenced node's next permit lists nobody: it need not wait for its heartbeat.
      if (request.body.fenced !== undefined) rollCall.enforce([mac]);
      return shown(nodeView(inventory, mac));
    },
  );
  app.delete('/v1/nodes/:node', { schema: { params: NodeParams } }, async (request) => {
    orRefuse(await inventory.nodes.remove(nodeNamed(inventory, request.params.node).mac, request.operator));
    return {};
  });
  registerShellRoutes(app, options);
  registerPowerRoutes(app, options);
}

function nodeNamed(inventory: Inventory, text: string): NodeDocument {
  const mac = parseMac(text);
  const found = inventory.nodes.all().find((node) => node.mac === mac || node.name === text);
  if (found === undefined) throw new RefusedError(404, `there is no node ${text}`);
  return found;
}

function registerShellRoutes(app: Server, { inventory, shell }: NodesApiOptions): void {
  app.get(
    '/v1/nodes/:node/diagnosis',
    { schema: { params: NodeParams, response: { 200: Diagnosis } } },
    async (request) => {
      const node = nodeNamed(inventory, request.params.node);
      const answers: Record<string, string> = {};
      for (const [name, command] of Object.entries(questions)) {
        const { stdout, stderr } = await shell.run({ ...node, ip: addressOf(node), hostKey: node.sshHostKey }, command);
        answers[name] = stdout || stderr;
      }
      return answers;
    },
  );
  app.post('/v1/nodes/:node/reboot', { schema: { params: NodeParams } }, async (request) => {
    const node = nodeNamed(inventory, request.params.node);
    // Sent to the background, so that the answer is out before the board goes down.
    await shell.run(
      { ...node, ip: addressOf(node), hostKey: node.sshHostKey },
      '(sleep 1; reboot -f) >/dev/null 2>&1 &',
    );
    inventory.events.add({ kind: 'node', subject: node.mac, message: `reboot asked for by ${request.operator}` });
    return {};
  });
}

function addressOf(node: NodeDocument): string {
  if (node.ip === null) throw new RefusedError(409, `cannot reach ${node.name}: it has no address yet`);
  return node.ip;
}

function registerPowerRoutes(app: Server, { inventory, power }: NodesApiOptions): void {
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
      const node = nodeNamed(inventory, request.params.node);
      const { power: own, told } = powerOf(node);
      return { ...told, off: await own.isOff(node, null).catch(fromPdu) };
    },
  );
  app.post(
    '/v1/nodes/:node/power',
    { schema: { params: NodeParams, body: PowerRequest, response: { 200: NodePower } } },
    async (request) => {
      const node = nodeNamed(inventory, request.params.node);
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
}

function fromPdu(cause: unknown): never {
  throw new RefusedError(502, chain(cause));
}
