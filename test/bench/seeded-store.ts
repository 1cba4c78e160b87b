// A controller's state directory as a full rack leaves it: 684 nodes that have joined, a customer with an instance on each.
import { randomBytes } from 'node:crypto';
import { openInventory } from '../../inventory/inventory.ts';
import type { Refused } from '../../inventory/refused.ts';
import type { JoinAnswer } from '../../protocol/api/agent.ts';
import type { Mac } from '../../protocol/mac.ts';

export const rackNodes = 684;
export const rackCustomer = 'acme';

export interface SeededNode extends JoinAnswer {
  mac: Mac;
}

export function boardMac(index: number): Mac {
  return `02:00:00:c2:${byte(index >> 8)}:${byte(index)}`;
}

/** Fills an inventory through its own decisions and closes it again. */
export async function seedStore(directory: string, count: number): Promise<SeededNode[]> {
  // One board each 25 ms until now: more at once would be refused as a flood.
  let clockMs = Date.now() - 25 * count;
  await using inventory = await openInventory({ directory, now: () => clockMs, random: randomBytes });
  const nodes = await Promise.all(
    Array.from({ length: count }, async (_, index): Promise<SeededNode> => {
      const mac = boardMac(index);
      clockMs += 25;
      await inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
      const { token } = given(await inventory.nodes.issueJoinToken(mac));
      const board = { mac, token, bootId: 'boot-1', serial: null, agentVersion: '', sshHostKey: null, facts };
      const answer = given(await inventory.nodes.join(board, '10.77.0.50'));
      inventory.nodes.heartbeat(mac, { at: Date.now() });
      return { mac, ...answer };
    }),
  );
  given(await inventory.customers.add({ name: rackCustomer }));
  await inventory.images.save(image);
  given(
    await inventory.workloads.put({
      customer: rackCustomer,
      name: 'web',
      spec: { image: image.name, replicas: count },
    }),
  );
  const specRevision = inventory.workloads.get(rackCustomer, 'web')?.specRevision ?? 0;
  const first = inventory.instances.nextNumber();
  const placed = nodes.map(({ mac }, index) => ({
    mac,
    id: `web-${(first + index).toString(16).padStart(8, '0')}`,
  }));
  const { applied } = await inventory.instances.apply(
    placed.map(({ mac, id }) => ({
      kind: 'place',
      id,
      customer: rackCustomer,
      workload: 'web',
      node: mac,
      port: null,
      specRevision,
      reason: 'bench',
    })),
  );
  if (applied !== count) throw new Error(`cannot seed the store: ${applied} of ${count} instances were placed`);
  for (const { mac, id } of placed)
    await inventory.instances.report(mac, [{ id, state: 'running', reason: '', restarts: 0 }]);
  return nodes;
}

const facts = { model: 'ODROID-C2', cpu: 'Cortex-A53', cores: 4, memoryBytes: 2 ** 31, kernel: '6.12', interfaces: [] };
const image = {
  name: 'web',
  digest: 'b'.repeat(64),
  architecture: 'arm64',
  squashfs: { sha256: 'a'.repeat(64), sizeBytes: 1 },
  config: { entrypoint: [], cmd: ['/web'], env: [], workingDir: '/', user: '0:0' },
  importedAt: 0,
};

function given<T extends object>(answer: T | Refused): T {
  if ('refused' in answer) throw new Error(`cannot seed the store: ${answer.refused}`);
  return answer;
}

function byte(value: number): string {
  return (value & 255).toString(16).padStart(2, '0');
}
