// How bad it is, decided in one place for the whole page: what is calm must not look like what is not, and the other way
// round. No DOM here, so that it is tested in Node.
import type { Node } from '../../protocol/api/nodes.ts';
import { bootProgress, isBooting, type RackState } from './rack-state.ts';

/** `none`: no node is known. `watch`: something is not as it should be. `alarm`: somebody has to come. */
export type Level = 'none' | 'good' | 'watch' | 'alarm';

export interface RackAlarm {
  level: Level;
  /** What is wrong with how many, `12 silent, 3 lost`; what is on its way up where nothing else is; or nothing. */
  words: string;
  /** One sentence, where somebody has to come. */
  sentence: string;
}

/** A switch or a power strip has some dozens of a rack's nodes: this share at once is not one board's own trouble. */
const alarmShare = 0.05;

export function rackAlarm(nodes: Iterable<Node>): RackAlarm {
  const count = { ready: 0, booting: 0, silent: 0, lost: 0, stuck: 0 };
  let total = 0;
  for (const node of nodes) {
    total += 1;
    if (isBooting(node)) count[bootProgress(node).stuck ? 'stuck' : 'booting'] += 1;
    else if (node.state === 'ready' || node.state === 'silent' || node.state === 'lost') count[node.state] += 1;
  }
  const bad = count.silent + count.lost + count.stuck;
  const told = bad > 0 ? (['silent', 'lost', 'stuck'] as const) : (['booting'] as const);
  const words = told.flatMap((kind) => (count[kind] === 0 ? [] : [`${count[kind]} ${kind}`])).join(', ');
  if (total === 0) return { level: 'none', words: '', sentence: '' };
  if (count.ready === total) return { level: 'good', words: '', sentence: '' };
  const isAlarm = bad > 0 && (count.ready === 0 || bad >= alarmShare * total);
  if (!isAlarm) return { level: 'watch', words, sentence: '' };
  const what = count.ready === 0 ? 'NO NODE IS READY' : `${bad} OF ${total} NODES DO NOT WORK`;
  return { level: 'alarm', words, sentence: `${what}: ${words}.` };
}

/** What the controller itself is in trouble with, and who else answers boards on its segment. */
export function controllerTroubles(status: RackState['status']): string[] {
  if (status === undefined) return [];
  const others = (status.otherServers ?? []).map(
    ({ address, kind }) =>
      `${kind === 'muster' ? 'Another Muster' : 'Another DHCP server'} answers boards from ${address}: there must be one only.`,
  );
  return [...status.problems, ...others];
}
