// When heartbeats leave, and what they say: regularly, again soon where no permit comes, at once where a receipt is ready.
import { customersPerNodeLimit, encodeHeartbeat, type CustomerLoad } from '../../protocol/roll-call.ts';
import { heartbeatIntervalMs, heartbeatRetryMs, silentAfterMs } from '../../protocol/timing.ts';
import type { AgentSession } from '../agent-session.ts';
import type { Machine } from '../machine.ts';
import type { ControllerSocket } from './controller-socket.ts';
import { receipts, type Keeper } from './permit-keeper.ts';
import { newTimer } from './timer.ts';

/** Extra heartbeats, that carry a receipt at once, keep this distance. */
const leastGapMs = 25;

export interface HeartbeatsOptions extends ContentOptions {
  socket: ControllerSocket;
  lastPermitMs: () => number | undefined;
  /** It is about to leave: permits count from this moment, which must never be later than its nonce's departure. */
  onBeat: (nonce: Buffer, nowMs: number) => void;
}

interface ContentOptions {
  machine: Machine;
  session: () => AgentSession;
  loads: () => CustomerLoad[];
  keeper: () => Keeper;
  appliedGeneration: () => number;
}

export interface Heartbeats extends Disposable {
  /** Opens the socket, and calls in from then on. */
  start: () => void;
  /** At once, where there is a connection. */
  beat: () => void;
  /** At once or, where one has just left, a moment later. */
  beatSoon: () => void;
  /** What left by now is answered: it needs no repetition. */
  answered: () => void;
}

export function newHeartbeats(options: HeartbeatsOptions): Heartbeats {
  const { machine, socket, lastPermitMs } = options;
  const next = contents(options);
  const [regular, extra, repetition] = [newTimer(machine), newTimer(machine), newTimer(machine)];
  let lastBeatMs = -Infinity;
  let nextBeatMs = machine.now();

  function beat(): void {
    if (!socket.isConnected()) return;
    const { nonce, bytes } = next();
    lastBeatMs = machine.now();
    options.onBeat(nonce, lastBeatMs);
    repetition.cancel();
    // Not for ever: a rack whose controller is away calls at its regular pace.
    const heardMs = lastPermitMs();
    if (heardMs !== undefined && lastBeatMs - heardMs < silentAfterMs) repetition.set(beat, heartbeatRetryMs);
    socket.send(bytes);
  }

  function beatRegularly(): void {
    const nowMs = machine.now();
    if (nowMs - Math.max(lastPermitMs() ?? 0, socket.openedMs()) > silentAfterMs) socket.open();
    else beat();
    nextBeatMs = Math.max(nextBeatMs + heartbeatIntervalMs, nowMs);
    regular.set(beatRegularly, nextBeatMs - nowMs);
  }

  return {
    start() {
      socket.open();
      nextBeatMs += heartbeatIntervalMs;
      regular.set(beatRegularly, heartbeatIntervalMs);
    },
    beat,
    beatSoon() {
      const waitMs = lastBeatMs + leastGapMs - machine.now();
      if (waitMs <= 0) beat();
      else if (!extra.isSet()) extra.set(beat, waitMs);
    },
    answered: () => repetition.cancel(),
    [Symbol.dispose]() {
      for (const timer of [regular, extra, repetition]) timer.cancel();
    },
  };
}

function contents(options: ContentOptions): () => { nonce: Buffer; bytes: Buffer } {
  const { machine } = options;
  let sequence = 0n;
  return () => {
    const customers = mostLoaded(options.loads());
    const { id, key } = options.session();
    const nonce = machine.randomBytes(16);
    const uptimeSeconds = machine.uptimeSeconds();
    // Grows over an agent's restart within one boot, as the session may go on then.
    const micros = BigInt(Math.floor(uptimeSeconds * 1e6));
    sequence = micros > sequence ? micros : sequence + 1n;
    const bytes = encodeHeartbeat(
      {
        session: Buffer.from(id, 'hex'),
        sequence,
        nonce,
        generation: BigInt(options.appliedGeneration()),
        permitSequence: options.keeper().permitSequence,
        uptimeSeconds,
        load: machine.load(),
        customers,
        receipts: receipts(options.keeper()),
      },
      key,
    );
    return { nonce, bytes };
  };
}

/** A heartbeat has room for so many; where there are more, those with processes are told of. */
function mostLoaded(loads: CustomerLoad[]): CustomerLoad[] {
  if (loads.length <= customersPerNodeLimit) return loads;
  return loads.toSorted((one, other) => other.processes - one.processes).slice(0, customersPerNodeLimit);
}
