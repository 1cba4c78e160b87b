// Decisions about nodes: how they come to be, boot, fall silent, are renamed, replaced and removed. How they join: see
// `join-token.ts`.
import type { NodePatch } from '../../protocol/api/nodes.ts';
import type { BootStage } from '../../protocol/boot/boot-stage.ts';
import { labelsText, patchedLabels } from '../../protocol/workload/labels.ts';
import type { Mac } from '../../protocol/mac.ts';
import { forgetConfigurations } from '../customers/configurations.ts';
import type { NodeDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Refused } from '../refused.ts';
import { isPossible, type LifeCycleEvent, nextState } from './life-cycle.ts';

/** Six racks. Boards that never joined make room for newer ones: anybody on the segment can invent MACs. */
export const nodeLimit = 4_096;
/** Firmware asks more than once in one boot (U-Boot twice, UEFI again and again): within this long it is the same boot. */
const sameBootMs = 120_000;

/** A board's way from power-on, as seen by DHCP, TFTP and HTTP. */
export interface BootProgress {
  mac: Mac;
  /** `dhcp-discover` together with `firmware` is the start of a boot; anything else is progress. */
  stage: BootStage;
  ip?: string;
  firmware?: NonNullable<NodeDocument['firmware']>;
  detail?: string;
}

/** Whether it says that the board starts anew. */
export function beginsBoot({ stage, firmware }: BootProgress): boolean {
  return stage === 'dhcp-discover' && firmware !== undefined;
}

export function decideBootStage(transaction: Transaction, boot: BootProgress & { now: number }): void {
  const { mac, stage, detail, now } = boot;
  const known = transaction.get('nodes', mac) ?? createNode(transaction, { mac, now });
  if (known === undefined) return;
  const begins = beginsBoot(boot);
  // Address traffic is no progress: an operating system renews its lease too.
  const event = begins ? 'firmware' : stage.startsWith('dhcp') || stage === 'fenced' ? undefined : 'stage';
  const booting = known.state === 'seen' || known.state === 'loading';
  const sameBoot = booting && known.firstDhcpAt !== null && now - known.firstDhcpAt < sameBootMs;
  let node: NodeDocument = { ...known, ...(boot.ip === undefined ? {} : { ip: boot.ip }) };
  if (begins && !sameBoot) node = { ...node, firstDhcpAt: now, readyAt: null };
  if (boot.firmware !== undefined && boot.firmware !== node.firmware) node = { ...node, firmware: boot.firmware };
  // A late report of a boot that is over says nothing about where the node is now.
  if (event !== undefined && isPossible(node.state, event))
    node = step(transaction, { node, event, now, reason: describe(boot) });
  if (node.state === 'seen' || node.state === 'loading') node = { ...node, stage };
  if (known.stage !== node.stage) transaction.event('boot', mac, detail === undefined ? stage : `${stage}: ${detail}`);
  if (!same(known, node)) transaction.put('nodes', mac, node);
}

function describe({ stage, firmware, detail }: BootProgress): string {
  return [stage, firmware === undefined ? '' : `from ${firmware}`, detail ?? '']
    .filter((part) => part !== '')
    .join(' ');
}

/** Undefined where there are too many. */
export function createNode(
  transaction: Transaction,
  { mac, now }: { mac: Mac; now: number },
): NodeDocument | undefined {
  if (transaction.nodeIndex.count >= nodeLimit) {
    const [oldest] = transaction.nodeIndex.neverJoined();
    const leaving = transaction.get('nodes', oldest ?? '');
    if (leaving === undefined) return undefined;
    dropNode(transaction, { node: leaving, reason: 'it never joined, and a newer board needs the room' });
  }
  const node: NodeDocument = {
    mac,
    name: freeName(transaction, mac),
    slot: transaction.nodeIndex.lowestFreeSlot(),
    state: 'seen',
    since: now,
    reason: 'first packet',
    stage: '',
    firmware: null,
    ip: null,
    bootId: null,
    serial: null,
    fenced: false,
    facts: null,
    sshHostKey: null,
    agentVersion: null,
    firstDhcpAt: null,
    readyAt: null,
    unreadyAt: null,
    ticket: null,
  };
  transaction.put('nodes', mac, node);
  transaction.event('node', mac, `new node ${node.name} in slot ${node.slot}`);
  return node;
}

function freeName(transaction: Transaction, mac: Mac): string {
  const digits = mac.replaceAll(':', '');
  const short = `node-${digits.slice(6)}`;
  // Two vendors' boards may end in the same three bytes.
  return transaction.nodeIndex.named(short) === undefined ? short : `node-${digits}`;
}

interface Step {
  event: LifeCycleEvent;
  now: number;
  reason: string;
}

/** One step of the life cycle, with its event. Throws on one that cannot be. */
export function step(
  transaction: Transaction,
  { node, event, now, reason }: Step & { node: NodeDocument },
): NodeDocument {
  const state = nextState(node.state, event);
  if (state === node.state) return node;
  transaction.event('node', node.mac, `${node.state} → ${state}: ${reason}`);
  const next = { ...node, state, since: now, reason };
  if (state === 'ready') return { ...next, stage: 'joined', readyAt: node.readyAt ?? now, unreadyAt: null };
  return node.state === 'ready' ? { ...next, unreadyAt: now } : next;
}

export function decideStep(transaction: Transaction, { mac, ...taken }: Step & { mac: Mac }): void {
  const node = transaction.get('nodes', mac);
  if (node === undefined) return;
  const next = step(transaction, { node, ...taken });
  if (next !== node) transaction.put('nodes', mac, next);
}

/**
 * A lost node's name and slot may be taken: that is how a board is swapped. The lost one is removed with it.
 * `fenced` leaves the session: the node must still hear permits that list nobody, and say when its containers are gone.
 */
export function decidePatch(
  transaction: Transaction,
  { mac, patch, by }: { mac: Mac; patch: NodePatch; by: string },
): NodeDocument | Refused {
  const node = transaction.get('nodes', mac);
  if (node === undefined) return unknownNode(mac);
  const replaced: NodeDocument[] = [];
  const holders = new Set([
    patch.name === undefined ? undefined : transaction.nodeIndex.named(patch.name),
    patch.slot === undefined ? undefined : transaction.nodeIndex.inSlot(patch.slot),
  ]);
  for (const holder of holders) {
    const other = holder === undefined || holder === mac ? undefined : transaction.get('nodes', holder);
    if (other === undefined) continue;
    const takes = [
      other.name === patch.name ? `name ${other.name}` : '',
      other.slot === patch.slot ? `slot ${other.slot}` : '',
    ].filter((text) => text !== '');
    if (other.state !== 'lost')
      return {
        refused: `${takes.join(' and ')} belongs to ${other.name} (${other.mac}, ${other.state}): remove or rename that one first`,
      };
    replaced.push(other);
  }
  const relabelled = patchedLabels(node.labels ?? {}, patch.labels ?? {});
  if ('refused' in relabelled) return relabelled;
  const { labels } = relabelled;
  for (const other of replaced) dropNode(transaction, { node: other, reason: `replaced by ${mac}` });
  const next = {
    ...node,
    name: patch.name ?? node.name,
    slot: patch.slot ?? node.slot,
    fenced: patch.fenced ?? node.fenced,
    ...(patch.placement !== undefined && { placement: patch.placement }),
    ...(patch.labels !== undefined && { labels }),
    ...(patch.fenced === undefined || patch.fenced === node.fenced ? {} : { fencedBy: by }),
    // Whoever is fenced may not come in with a token from before.
    ticket: patch.fenced === true ? null : node.ticket,
  };
  if (next.name !== node.name) transaction.event('node', mac, `renamed from ${node.name} to ${next.name}`);
  if (next.slot !== node.slot) transaction.event('node', mac, `moved from slot ${node.slot} to ${next.slot}`);
  if (next.fenced !== node.fenced) transaction.event('node', mac, next.fenced ? 'fenced' : 'no longer fenced');
  if (patch.labels !== undefined && labelsText(labels) !== labelsText(node.labels ?? {}))
    transaction.event('node', mac, `labels: ${labelsText(labels) || 'none'}`);
  const placement = next.placement ?? 'open';
  if (placement !== (node.placement ?? 'open')) transaction.event('node', mac, placementEvents[placement]);
  if (!same(node, next)) transaction.put('nodes', mac, next);
  return next;
}

const placementEvents = {
  open: 'takes instances again',
  cordoned: 'cordoned: it keeps its instances and gets no more',
  draining: 'is being drained: its instances are replaced elsewhere',
};

export function decideRemoveNode(transaction: Transaction, mac: Mac): { removed: Mac } | Refused {
  const node = transaction.get('nodes', mac);
  if (node === undefined) return unknownNode(mac);
  if (node.state === 'ready') return { refused: `${node.name} is ready: switch it off, or fence it, and wait` };
  dropNode(transaction, { node, reason: 'removed' });
  return { removed: mac };
}

function dropNode(transaction: Transaction, { node, reason }: { node: NodeDocument; reason: string }): void {
  const { mac, name, slot } = node;
  transaction.remove('nodes', mac);
  transaction.remove('sessions', mac);
  const instances = transaction.instancesOn(mac);
  for (const { id, customer, workload } of instances) {
    transaction.remove('instances', `${customer}/${workload}/${id}`);
    transaction.event('instance', id, `removed: its node ${name} is gone`);
  }
  forgetConfigurations(transaction, instances);
  transaction.event('node', mac, `${name} in slot ${slot} is gone: ${reason}`);
}

function unknownNode(mac: Mac): Refused {
  return { refused: `no node has the MAC ${mac}` };
}

function same(a: NodeDocument, b: NodeDocument): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
