// Fault 15: what somebody on the rack's segment can do with permits that passed by. The one who holds back the last permit
// from before the order and delivers it late gains nothing: it counts from when its nonce was sent.
import { setTimeout as delay } from 'node:timers/promises';
import { permitValidityMs } from '../../../protocol/timing.ts';
import type { Steps } from './drill.ts';
import { healLosses, lose, lost } from './links.ts';
import type { Rig } from './rig.ts';
import { forged, shuffled, tapWire, type Wire } from './wire.ts';

const everyMs = 50;
/** Of each node, and so of each agent: an agent that hears no controller changes its port, and misses what comes to the old one. */
const leastArrived = 50;
const held = 'instead of the real ones';

export function replays(rig: Rig, how: 'beside the real ones' | 'instead of the real ones'): Steps {
  let wire: Wire | undefined;
  let attack: Promise<void> = Promise.resolve();
  const over = new AbortController();
  let injected = 0;
  const arrivedBefore = new Map<number, number>();

  async function attackFor(tap: Wire, old: ReadonlyMap<number, Buffer[]>): Promise<void> {
    while (!over.signal.aborted) {
      for (const node of rig.nodes) {
        const own = old.get(node.number) ?? [];
        const others = [...old].flatMap(([number, frames]) => (number === node.number ? [] : frames.slice(-2)));
        for (const frame of shuffled([...own.slice(-4), ...own.slice(-2), ...others], Math.random)) {
          tap.inject(node, frame);
          tap.inject(node, forged(frame, Math.random));
          injected += 2;
        }
      }
      await delay(everyMs);
    }
  }
  return {
    async before() {
      const tap = await tapWire(rig);
      wire = tap;
      // Two permits of each node at least, all of which list acme.
      while (rig.nodes.some((node) => tap.permitsFor(node).length < 2)) await delay(50);
      if (how === held) {
        await lose(rig, { nodes: rig.nodes, percent: 100, directions: ['to the node'] });
        // Permits that never arrived, newer than all that did.
        await delay(800);
      }
      for (const node of rig.nodes) arrivedBefore.set(node.number, node.datagramsIn());
      const old = new Map(rig.nodes.map((node) => [node.number, tap.permitsFor(node)]));
      attack = attackFor(tap, old);
    },
    async verify() {
      // For longer than any of them could be good for.
      await delay(permitValidityMs + 1_000);
      over.abort();
      await attack;
      for (const node of rig.nodes) {
        const got = node.datagramsIn() - (arrivedBefore.get(node.number) ?? 0);
        if (got < leastArrived)
          throw new Error(`${got} of ${injected} datagrams reached node ${node.number}: no attack`);
      }
      if (how === held && (await lost(rig)).some((count) => count === 0)) throw new Error('real permits got through');
      return undefined;
    },
    async heal() {
      over.abort();
      await attack;
      await wire?.[Symbol.asyncDispose]();
      if (how === held) await healLosses(rig);
    },
    // The neighbour's permits are replayed and held back as well.
    ...(how === held ? { boltMayStop: 'anywhere' as const } : {}),
  };
}
