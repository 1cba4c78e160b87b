// Faults of the rack's cables, made in the bridge: nothing on either end can tell them from the real thing. A datagram that
// is dropped here was sent without an error.
import type { HostNode } from './node.ts';
import type { Rig } from './rig.ts';

export type Direction = 'to the node' | 'from the node';

export interface Losses {
  percent: number;
  directions: readonly Direction[];
}

/** Out of 100 frames so many are lost, in each of the directions; 100 is a cut. */
export async function lose(
  rig: Rig,
  { nodes, percent, directions }: Losses & { nodes: readonly HostNode[] },
): Promise<void> {
  const chance = percent >= 100 ? '' : `numgen random mod 100 < ${percent}`;
  const rules = (direction: Direction, key: 'iifname' | 'oifname') =>
    directions.includes(direction) ? nodes.map(({ cable }) => `${key} "${cable}" ${chance} counter drop`) : [];
  await rig.inRack(
    ['nft', '-f', '-'],
    [
      'table bridge faults {',
      'chain down { type filter hook output priority 0;',
      ...rules('to the node', 'oifname'),
      '}',
      'chain up { type filter hook prerouting priority 0;',
      ...rules('from the node', 'iifname'),
      '}',
      '}\n',
    ].join('\n'),
  );
}

/** How many frames were lost so far, by rule. */
export async function lost(rig: Rig): Promise<number[]> {
  const rules = await rig.inRack(['nft', 'list', 'table', 'bridge', 'faults']);
  return [...rules.matchAll(/counter packets (\d+)/g)].map((match) => Number(match[1]));
}

export async function healLosses(rig: Rig): Promise<void> {
  await rig.inRack(['nft', 'delete', 'table', 'bridge', 'faults']);
}

export async function pullCables(rig: Rig, nodes: readonly HostNode[]): Promise<void> {
  await setCables(
    rig,
    nodes.map(({ cable }) => `link set ${cable} down`),
  );
}

export async function plugCables(rig: Rig, nodes: readonly HostNode[]): Promise<void> {
  await setCables(
    rig,
    nodes.map(({ cable }) => `link set ${cable} up`),
  );
}

async function setCables(rig: Rig, commands: readonly string[]): Promise<void> {
  await rig.inRack(['ip', '-batch', '-'], `${commands.join('\n')}\n`);
}

/** Whether each of them sees no carrier. */
export async function areCut(rig: Rig, nodes: readonly HostNode[]): Promise<boolean> {
  const links = await rig.inRack(['ip', '-oneline', 'link']);
  return nodes.every(({ cable }) =>
    links.split('\n').some((line) => line.includes(` ${cable}@`) && /state DOWN/.test(line)),
  );
}
