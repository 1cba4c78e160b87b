// What is to be done about a node that has not acknowledged a kill order, beside the permits that go on. Pure.
//
//   after the order    still heard                 silent, but holds on silence    silent
//   below 1.5 s        –                           –                               –
//   from 1.5 s         SSH, once a second          SSH, once a second              – (4.5 s of silence are the proof)
//   from 4.5 s         … and its power is cut      … and its power is cut          –
//
// It is decided from what is stored and from the heartbeats alone, so that a controller that starts again goes on where
// the last one ended. What the controller could not hear is never taken for silence, and a node that it has only just
// begun to listen to gets the time that any node gets to acknowledge.
import type { EscalationStep } from '../../protocol/api/orders.ts';
import type { Mac } from '../../protocol/mac.ts';
import { heartbeatIntervalMs, stopsByItselfMs } from '../../protocol/timing.ts';

/** A node that heard the order's permit has acknowledged by now: it takes a tenth of this. */
export const sshAfterMs = 1_500;
/** What goes on now, goes on because something is stuck. */
export const powerAfterMs = stopsByItselfMs;
/** Two heartbeats in a row are missing. */
export const silentAfterMs = 2 * heartbeatIntervalMs + 100;

/** A node that has not acknowledged by now is slow, or will need an SSH connection a second later. */
const prepareAfterMs = sshAfterMs - 1_000;
/** SSH connections at once. */
const connectionLimit = 16;
/** Heartbeats that had left the board before its power went may still be on their way to us. */
const stragglersMs = 300;

const sshEveryMs = 1_000;
const powerEveryMs = 5_000;
/** After this many attempts the pause between them doubles, up to a minute: an operator has to look at it then. */
const patience = 5;
const longestPauseMs = 60_000;

export interface Attempts {
  /** How many came to an end. */
  ended: number;
  /** When the last one ended, or was begun, ms after the order; undefined where there was none. */
  lastAfterMs: number | undefined;
  /** Begun, and no end of it is stored. */
  open: boolean;
}

export interface Situation {
  sinceGivenMs: number;
  /** How long this controller has been listening without a pause of its own. */
  listeningMs: number;
  /** How long the node has been asked to acknowledge it: of many orders given at once each waits for its place in the permit. */
  askedMs: number;
  /** Since the last heartbeat; undefined where this controller has not heard one yet. */
  heardAgoMs: number | undefined;
  /** Silence proves nothing there: a customer of the order holds on silence. */
  holds: boolean;
  ssh: Attempts;
  power: Attempts;
  /** What this process is doing about the node at this moment. */
  running: { ssh: boolean; power: boolean };
  /**
   * There is reason to think that something of the order is there: this controller has heard the node, or instances are
   * placed on it. A board that has been gone for long is no reason to take the power from its neighbours.
   */
  isSuspect: boolean;
  /** There is an outlet for the node, and the order may use it. */
  mayCutPower: boolean;
}

/** An order that a node has not acknowledged. */
export interface Case<Order> {
  mac: Mac;
  order: Order;
  situation: Situation;
}

/** What is to be begun now: nodes, and on each the orders that want it. */
export interface Due<Order> {
  ssh: Map<Mac, Order[]>;
  power: Map<Mac, Order[]>;
}

/** `connections`: to nodes, that are open at this moment. */
export function decideDue<Order>(cases: readonly Case<Order>[], connections: number): Due<Order> {
  const ssh = new Map<Mac, { orders: Order[]; lastMs: number }>();
  const power = new Map<Mac, Order[]>();
  for (const { mac, order, situation } of cases) {
    const decision = decideEscalation(situation);
    const lastMs = situation.ssh.lastAfterMs ?? 0;
    if (decision.ssh) ssh.set(mac, { lastMs, ...ssh.get(mac), orders: [...(ssh.get(mac)?.orders ?? []), order] });
    if (decision.power) power.set(mac, [...(power.get(mac) ?? []), order]);
  }
  // Who has waited longest comes first: with many unreachable nodes each attempt costs its whole time limit.
  const waiting = [...ssh].toSorted(([, a], [, b]) => a.lastMs - b.lastMs);
  const begun = waiting.slice(0, Math.max(0, connectionLimit - connections));
  return { ssh: new Map(begun.map(([mac, { orders }]) => [mac, orders])), power };
}

/** Later no more: a node may stay unacknowledged for weeks, and the process that speaks SSH ends when nobody has needed it. */
export function mayNeedSshSoon(sinceGivenMs: number): boolean {
  return sinceGivenMs >= prepareAfterMs && sinceGivenMs < sshAfterMs;
}

/** So long a board whose outlet went off at `offAt` must have been listened to: it would have been heard if it had power. */
export const settledMs = stragglersMs + silentAfterMs;

/** It has power: what it had sent before has arrived by now. */
export function isHeardSince(heardAt: number | undefined, offAt: number): boolean {
  return heardAt !== undefined && heardAt > offAt + stragglersMs;
}

export function decideEscalation(it: Situation): { ssh: boolean; power: boolean } {
  const nothing = { ssh: false, power: false };
  // An earlier process was cut short between the command and its answer: only asking again tells how it stands.
  if (it.power.open && !it.running.power && it.mayCutPower) return { ssh: false, power: true };
  const pressedMs = Math.min(it.sinceGivenMs, it.listeningMs, it.askedMs);
  if (pressedMs < sshAfterMs) return nothing;
  const voice = voiceOf(it);
  if (voice === 'unknown' || (voice === 'silent' && !it.holds)) return nothing;
  return {
    ssh: !it.running.ssh && isDue(it.ssh, { everyMs: sshEveryMs, sinceGivenMs: it.sinceGivenMs }),
    power:
      it.mayCutPower &&
      it.isSuspect &&
      !it.running.power &&
      it.sinceGivenMs >= powerAfterMs &&
      // After a restart: an attempt that failed before it need not fail again.
      (it.ssh.ended > 0 || pressedMs >= powerAfterMs) &&
      isDue(it.power, { everyMs: powerEveryMs, sinceGivenMs: it.sinceGivenMs }),
  };
}

function voiceOf({ heardAgoMs, listeningMs }: Situation): 'heard' | 'silent' | 'unknown' {
  if (heardAgoMs !== undefined && heardAgoMs <= silentAfterMs) return 'heard';
  return listeningMs > silentAfterMs ? 'silent' : 'unknown';
}

function isDue(
  { ended, lastAfterMs }: Attempts,
  { everyMs, sinceGivenMs }: { everyMs: number; sinceGivenMs: number },
): boolean {
  if (lastAfterMs === undefined) return true;
  const pauseMs = Math.min(longestPauseMs, everyMs * 2 ** Math.max(0, ended - patience));
  // A wall clock that was set back, read by a later process, must not hold an attempt up for as long.
  return lastAfterMs > sinceGivenMs || sinceGivenMs - lastAfterMs >= pauseMs;
}

/** What the stored steps say of one way of stopping. */
export function attemptsOf(steps: readonly EscalationStep[], by: EscalationStep['by']): Attempts {
  const own = steps.filter((step) => step.by === by);
  const last = own.at(-1);
  return {
    ended: own.filter(({ outcome }) => outcome !== 'tried').length,
    lastAfterMs: last?.afterMs,
    open: last?.outcome === 'tried',
  };
}
