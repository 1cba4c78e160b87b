// The agent's roll call: heartbeats out, permits in, and what a permit forbids is killed in the same turn of the event loop
// that read its datagram.
//
//   heartbeats.ts ─► controller-socket.ts ─► here: is it a permit of this session? ─► enforcer.ts, permit-keeper.ts
import { MalformedError } from '../../protocol/bytes.ts';
import { decodePermit, type Permit } from '../../protocol/roll-call.ts';
import type { Endpoint } from '../../protocol/ipv4.ts';
import { isSameSession, type AgentSession } from '../agent-session.ts';
import type { Machine } from '../machine.ts';
import { controllerSocket } from './controller-socket.ts';
import { newEnforcer, type EnforcerOptions } from './enforcer.ts';
import { newHeartbeats } from './heartbeats.ts';

export interface RollCallOptions extends Omit<EnforcerOptions, 'beatSoon'> {
  controller: Endpoint;
  session: AgentSession;
  /** The desired generation that the runtime has been given. */
  appliedGeneration: () => number;
  machine: Machine;
}

export interface RollCall extends Disposable {
  useSession: (session: AgentSession) => void;
  /** Of the last permit that was accepted, on the machine's clock. */
  lastPermitMs: () => number | undefined;
  permitted: () => readonly string[];
  /** Since the start. `refused` are datagrams that were no permit of ours. */
  counts: () => Readonly<RollCallCounts>;
}

interface RollCallCounts {
  heartbeats: number;
  permits: number;
  refused: number;
  /** Longest time from the read of a permit until everything it asks for was done, ms. */
  slowestPermitMs: number;
}

export function startRollCall(options: RollCallOptions): RollCall {
  const { controller, runtime, appliedGeneration, machine } = options;
  const counts: RollCallCounts = { heartbeats: 0, permits: 0, refused: 0, slowestPermitMs: 0 };
  let session = options.session;
  let lastPermitMs: number | undefined;

  const enforcer = newEnforcer({ ...options, beatSoon: () => heartbeats.beatSoon() });
  const socket = controllerSocket({ controller, machine, onMessage: receive, onConnected: () => heartbeats.beat() });
  const heartbeats = newHeartbeats({
    machine,
    socket,
    session: () => session,
    loads: () => runtime.loads(),
    keeper: enforcer.keeper,
    appliedGeneration,
    lastPermitMs: () => lastPermitMs,
    onBeat(nonce, nowMs) {
      enforcer.apply({ type: 'sent', nonce, nowMs });
      counts.heartbeats += 1;
    },
  });

  function receive(bytes: Buffer): void {
    const nowMs = machine.now();
    const permit = readPermit(bytes, session);
    if (permit === undefined) {
      counts.refused += 1;
      return;
    }
    counts.permits += 1;
    // A replay does not say that the controller is there, nor that it heard us.
    if (permit.sequence > enforcer.keeper().permitSequence) {
      lastPermitMs = nowMs;
      heartbeats.answered();
    }
    enforcer.apply({ type: 'permit', permit, nowMs });
    counts.slowestPermitMs = Math.max(counts.slowestPermitMs, machine.now() - nowMs);
  }

  heartbeats.start();
  enforcer.apply({ type: 'tick', nowMs: machine.now() });

  return {
    useSession(next) {
      if (isSameSession(next, session)) return;
      session = next;
      enforcer.apply({ type: 'session' });
      heartbeats.beatSoon();
    },
    lastPermitMs: () => lastPermitMs,
    permitted: () => [...enforcer.keeper().customers.keys()],
    counts: () => counts,
    [Symbol.dispose]() {
      for (const part of [enforcer, heartbeats, socket]) part[Symbol.dispose]();
    },
  };
}

/** Undefined where it is none of ours. */
function readPermit(bytes: Buffer, { id, key }: AgentSession): Permit | undefined {
  try {
    const permit = decodePermit(bytes, key);
    return permit.session.toString('hex') === id ? permit : undefined;
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
