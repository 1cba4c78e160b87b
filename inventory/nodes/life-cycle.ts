// A node's life as one table. Where it stands, what happens, where it goes; `stays` is a decision too.
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

type Row = Record<LifeCycleEvent, NodeState | 'stays'>;

// DHCP proves nothing, so a forged DISCOVER must not harm: `seen` keeps the session, and the heartbeat that a board
// in truth alive sends within a second brings it back to `ready`.
const table: Record<NodeState, Row> = {
  seen: {
    firmware: 'stays',
    stage: 'loading',
    join: 'joining',
    rejoin: 'joining',
    heartbeat: 'ready',
    silence: 'stays',
    loss: 'stays',
  },
  loading: {
    firmware: 'seen',
    stage: 'stays',
    join: 'joining',
    rejoin: 'joining',
    heartbeat: 'ready',
    silence: 'stays',
    loss: 'stays',
  },
  joining: {
    firmware: 'seen',
    stage: 'stays',
    join: 'stays',
    rejoin: 'stays',
    heartbeat: 'ready',
    silence: 'stays',
    loss: 'lost',
  },
  ready: {
    firmware: 'seen',
    stage: 'stays',
    join: 'joining',
    rejoin: 'stays',
    heartbeat: 'stays',
    silence: 'silent',
    loss: 'lost',
  },
  silent: {
    firmware: 'seen',
    stage: 'loading',
    join: 'joining',
    rejoin: 'stays',
    heartbeat: 'ready',
    silence: 'stays',
    loss: 'lost',
  },
  lost: {
    firmware: 'seen',
    stage: 'loading',
    join: 'joining',
    rejoin: 'joining',
    heartbeat: 'ready',
    silence: 'stays',
    loss: 'stays',
  },
};

export function nextState(state: NodeState, event: LifeCycleEvent): NodeState {
  const next = table[state][event];
  return next === 'stays' ? state : next;
}
