// A node's life as one table: where it stands, what happens, where it goes. What is not in the table cannot happen there:
// packets of strangers, and clocks, are asked first (`isPossible`).
import type { NodeState } from '../../protocol/api/nodes.ts';

/**
 * - `seen`: its firmware asked for an address; we wait for it to fetch its first file
 * - `loading`: it fetches loader, kernel and image; we wait for its agent to join
 * - `joining`: its agent has a session; we wait for the first heartbeat
 * - `ready`: heartbeats come; we wait for nothing
 * - `silent`: no heartbeat for 3 s, so its permits have run out; we wait for one more, and keep its instances for it
 * - `lost`: no heartbeat for 30 s; its instances are placed elsewhere; we wait for a boot, a heartbeat, or an operator who removes it
 */
export type { NodeState } from '../../protocol/api/nodes.ts';

/**
 * - `firmware`: a DHCPDISCOVER from firmware: a new boot begins
 * - `stage`: a file was fetched or a step reported
 * - `join`: an agent spent its boot's token
 * - `rejoin`: a restarted agent proved the session it has
 * - `heartbeat`: one with the right signature of the standing session
 * - `silence`: none for 3 s
 * - `loss`: none for 30 s
 */
export const lifeCycleEvents = ['firmware', 'stage', 'join', 'rejoin', 'heartbeat', 'silence', 'loss'] as const;
export type LifeCycleEvent = (typeof lifeCycleEvents)[number];

type Row = Partial<Record<LifeCycleEvent, NodeState>>;

// DHCP proves nothing, so a forged DISCOVER must not harm: `seen` keeps the session, and the heartbeat that a board
// in truth alive sends within a second brings it back to `ready`.
const table: Record<NodeState, Row> = {
  seen: { firmware: 'seen', stage: 'loading', join: 'joining', rejoin: 'joining', heartbeat: 'ready' },
  loading: { firmware: 'seen', stage: 'loading', join: 'joining', rejoin: 'joining', heartbeat: 'ready' },
  joining: { firmware: 'seen', join: 'joining', rejoin: 'joining', heartbeat: 'ready', loss: 'lost' },
  ready: {
    firmware: 'seen',
    join: 'joining',
    rejoin: 'ready',
    heartbeat: 'ready',
    silence: 'silent',
    loss: 'lost',
  },
  silent: {
    firmware: 'seen',
    stage: 'loading',
    join: 'joining',
    rejoin: 'silent',
    heartbeat: 'ready',
    loss: 'lost',
  },
  lost: { firmware: 'seen', stage: 'loading', join: 'joining', rejoin: 'joining', heartbeat: 'ready' },
};

export function isPossible(state: NodeState, event: LifeCycleEvent): boolean {
  return table[state][event] !== undefined;
}

/** Throws on a step that is not possible: a fault of ours. */
export function nextState(state: NodeState, event: LifeCycleEvent): NodeState {
  const next = table[state][event];
  if (next !== undefined) return next;
  const possible = Object.keys(table[state]).join(', ');
  throw new Error(`cannot step a node on: it is ${state} and gets ${event}, want one of ${possible}`);
}
