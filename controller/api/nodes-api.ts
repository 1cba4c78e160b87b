// Nodes as operators see and change them, what a node answers by SSH, and its power.
import { errorChain } from '../../protocol/error-chain.ts';
import { nodeRoutes, type NodePower } from '../../protocol/api/nodes.ts';
import { parseMac } from '../../protocol/mac.ts';
import { labelsText } from '../../protocol/workload/labels.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import type { NodeDocument } from '../../inventory/store/documents.ts';
import { questions, type NodeShell, type ShellTarget } from '../kill/node-shell.ts';
import type { RollCall } from '../kill/roll-call/roll-call.ts';
import type { Power } from '../power/power.ts';
import { orRefuse, RefusedError, served, shown, type Server } from './serving/http.ts';
import { pageOf } from './serving/pages.ts';
import { etagOf, requireVersion, keyedMutex } from './serving/versions.ts';
import { nodeView } from './views.ts';

export interface NodesApiOptions {
  inventory: Inventory;
  rollCall: Pick<RollCall, 'enforce'>;
  shell: NodeShell;
  /** Left out where no PDU is configured. */
  power?: Power | undefined;
}

export function registerNodesApi(app: Server, options: NodesApiOptions): void {
  const { inventory, rollCall } = options;
  const exclusively = keyedMutex();
  app.route({
    ...served(nodeRoutes.listNodes),
    handler: async ({ query }) => {
      const key = ({ mac }: NodeDocument) => mac;
      const view = ({ mac }: NodeDocument) => nodeView(inventory, mac);
      const { items, rest } = await pageOf(inventory.nodes.all(), { query, key, view });
      return { nodes: items, ...rest };
    },
  });
  app.route({
    ...served(nodeRoutes.getNode),
    handler: async ({ params }, reply) => {
      const node = nodeNamed(inventory, params.node);
      return reply.header('etag', versionOf(node)).send(shown(nodeView(inventory, node.mac)));
    },
  });
  app.route({
    ...served(nodeRoutes.changeNode),
    handler: (request, reply) => {
      const { mac } = nodeNamed(inventory, request.params.node);
      return exclusively(mac, async () => {
        const node = nodeNamed(inventory, mac);
        requireVersion(request, { name: node.name, etag: versionOf(node) });
        orRefuse(await inventory.nodes.patch(mac, { ...request.body, by: request.operator }));
        // A fenced node's next permit lists nobody: it need not wait for its heartbeat.
        if (request.body.fenced !== undefined) rollCall.enforce([mac]);
        return reply.header('etag', versionOf(nodeNamed(inventory, mac))).send(shown(nodeView(inventory, mac)));
      });
    },
  });
  app.route({
    ...served(nodeRoutes.removeNode),
    handler: (request) => {
      const { mac } = nodeNamed(inventory, request.params.node);
      return exclusively(mac, async () => {
        const node = nodeNamed(inventory, mac);
        requireVersion(request, { name: node.name, etag: versionOf(node) });
        orRefuse(await inventory.nodes.remove(mac, request.operator));
        return {};
      });
    },
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

function versionOf({ mac, name, slot, fenced, placement = 'open', labels = {} }: NodeDocument): string {
  return etagOf(mac, name, slot, fenced, placement, labelsText(labels));
}

function registerShellRoutes(app: Server, { inventory, shell }: NodesApiOptions): void {
  app.route({
    ...served(nodeRoutes.diagnoseNode),
    handler: async (request) => {
      const node = nodeNamed(inventory, request.params.node);
      const answers: Record<string, string> = {};
      for (const [name, command] of Object.entries(questions)) {
        const { stdout, stderr } = await shell.run(targetOf(node), { command });
        answers[name] = stdout || stderr;
      }
      return answers;
    },
  });
  app.route({
    ...served(nodeRoutes.rebootNode),
    handler: async (request) => {
      const node = nodeNamed(inventory, request.params.node);
      // Sent to the background, so that the answer is out before the board goes down.
      await shell.run(targetOf(node), { command: '(sleep 1; reboot -f) >/dev/null 2>&1 &' });
      inventory.events.add({ kind: 'node', subject: node.mac, message: `reboot asked for by ${request.operator}` });
      return {};
    },
  });
}

function targetOf({ mac, name, ip, sshHostKey: hostKey }: NodeDocument): ShellTarget {
  if (ip === null) throw new RefusedError(409, `cannot reach ${name}: it has no address yet`);
  return { mac, ip, hostKey };
}

function registerPowerRoutes(app: Server, { inventory, power }: NodesApiOptions): void {
  function powerOf(node: NodeDocument): { power: Power; told: Omit<NodePower, 'off'> } {
    const outlets = power?.outletsOf(node) ?? [];
    if (power === undefined || outlets.length === 0)
      throw new RefusedError(409, `cannot switch ${node.name}: no outlet is configured for it, see "power"`);
    return { power, told: { outlets, neighbours: power.neighboursOf(node).map(({ name }) => name) } };
  }
  app.route({
    ...served(nodeRoutes.getNodePower),
    handler: async (request) => {
      const node = nodeNamed(inventory, request.params.node);
      const { power: own, told } = powerOf(node);
      return { ...told, off: await own.isOff(node, null).catch(fromPdu) };
    },
  });
  app.route({
    ...served(nodeRoutes.switchNodePower),
    handler: async (request) => {
      const node = nodeNamed(inventory, request.params.node);
      const { power: own, told } = powerOf(node);
      const { state, neighbours } = request.body;
      if (state === 'off' && neighbours !== true && told.neighbours.length > 0)
        throw new RefusedError(
          409,
          `cannot switch off ${node.name} alone: ${told.neighbours.join(', ')} would lose power with it, want "neighbours"`,
        );
      await own.turn(state, { board: node, order: null }).catch(fromPdu);
      inventory.events.add({
        kind: 'node',
        subject: node.mac,
        message: `${request.operator} switched ${told.outlets.join(' and ')} ${state}`,
      });
      return { ...told, off: await own.isOff(node, null).catch(fromPdu) };
    },
  });
}

function fromPdu(cause: unknown): never {
  throw new RefusedError(502, errorChain(cause));
}
