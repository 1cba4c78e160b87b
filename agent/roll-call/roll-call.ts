// The loop of the agent's roll call: heartbeats out, permits in, and what a permit forbids is killed in the same turn of the event
// loop that read its datagram. Decides nothing itself: see `permit-keeper.ts`.
import { MalformedError } from '../../protocol/bytes.ts';
import {
  customersPerNodeLimit,
  decodePermit,
  encodeHeartbeat,
  everything,
  type CustomerLoad,
  type Permit,
} from '../../protocol/roll-call.ts';
import { heartbeatIntervalMs, heartbeatRetryMs, silentAfterMs } from '../../protocol/timing.ts';
import type { Endpoint } from '../../protocol/ipv4.ts';
import type { Runtime } from '../containers/runtime.ts';
import type { Vouch } from './leash.ts';
import type { DatagramSocket, Machine } from '../machine.ts';
import { newKeeper, nextTickMs, receipts, step, type Action, type Keeper, type KeeperEvent } from './permit-keeper.ts';

/** Extra heartbeats, that carry a receipt at once, keep this distance. */
const leastGapMs = 25;

export interface AgentSession {
  /** 32 hex digits. */
  id: string;
  key: Buffer;
}

export interface RollCallOptions {
  controller: Endpoint;
  session: AgentSession;
  runtime: Pick<Runtime, 'allowCustomer' | 'stopCustomer' | 'stopEverything' | 'isStopping' | 'loads'>;
  /** Tells the leash; must not wait. */
  vouch: (vouches: Vouch[]) => void;
  /** The desired generation that the runtime has been given. */
  appliedGeneration: () => number;
  /** A permit speaks of a newer desired generation. Must not wait. */
  onGeneration: (generation: bigint) => void;
  log: (text: string) => void;
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
  const { runtime, controller, log, machine } = options;
  const counts: RollCallCounts = { heartbeats: 0, permits: 0, refused: 0, slowestPermitMs: 0 };
  const running = runtime.loads().map(({ customer }) => customer);
  let keeper: Keeper = newKeeper(running, machine.now());
  let session = options.session;
  let sequence = 0n;
  let lastPermitMs: number | undefined;
  /** What the leash will hear of customers once they are gone. */
  const withheld = new Map<string, Vouch>();
  let socket: DatagramSocket | undefined;
  let connected = false;
  let openedMs = 0;
  let lastBeatMs = -Infinity;
  let nextBeatMs = machine.now();
  let cancelExtraBeat: (() => void) | undefined;
  let cancelRetry: (() => void) | undefined;
  let cancelTick: (() => void) | undefined;
  let ended = false;

  function apply(event: KeeperEvent): void {
    if (ended) return;
    const next = step(keeper, event);
    keeper = next.keeper;
    perform(next.actions);
    cancelTick?.();
    cancelTick = undefined;
    const tickMs = nextTickMs(keeper);
    if (tickMs !== undefined)
      cancelTick = machine.later(
        () => apply({ type: 'tick', nowMs: machine.now() }),
        Math.max(1, tickMs - machine.now()),
      );
  }

  function perform(actions: readonly Action[]): void {
    // All kills first: nothing that follows may delay one.
    for (const action of actions) if (action.type === 'stop') stop(action);
    const vouches = vouchesOf(actions);
    if (vouches.length > 0) options.vouch(vouches);
    for (const action of actions) {
      if (action.type === 'allow') runtime.allowCustomer(action.customer);
      else if (action.type === 'fetch') options.onGeneration(action.generation);
      else if (action.type === 'beat') beatSoon();
    }
  }

  /**
   * The last word on a customer counts: a held one may be vouched for by the very step that then forbids it.
   * Nobody vouches for a customer that is not gone yet, also when its order is lifted meanwhile: what hangs in the kernel
   * goes only with the board, which the watchdog resets only while the leash wants it gone.
   */
  function vouchesOf(actions: readonly Action[]): Vouch[] {
    const vouches = new Map<string, Vouch>();
    for (const action of actions) {
      if (action.type === 'vouch') vouches.set(action.customer, action);
      const vouch = action.type === 'allow' ? withheld.get(action.customer) : undefined;
      if (vouch !== undefined && !vouches.has(vouch.customer)) vouches.set(vouch.customer, vouch);
    }
    for (const [customer, vouch] of vouches) {
      withheld.delete(customer);
      if (vouch.untilMs === 0 || !runtime.isStopping(customer)) continue;
      withheld.set(customer, vouch);
      vouches.set(customer, { customer, untilMs: 0 });
    }
    return [...vouches.values()];
  }

  function stop({ scope, reason, orders }: Extract<Action, { type: 'stop' }>): void {
    const { processes, gone } =
      scope === everything ? runtime.stopEverything(reason) : runtime.stopCustomer(scope, reason);
    log(`stop ${scope}: ${reason}, ${processes} processes`);
    if (orders.length > 0)
      void gone.then(({ afterMs }) => apply({ type: 'stopped', orders, stoppedAfterMs: afterMs, processes }));
  }

  function beatSoon(): void {
    const waitMs = lastBeatMs + leastGapMs - machine.now();
    if (waitMs <= 0) return beat();
    cancelExtraBeat ??= machine.later(() => {
      cancelExtraBeat = undefined;
      beat();
    }, waitMs);
  }

  function beat(): void {
    if (socket === undefined || !connected) return;
    const loads = mostLoaded(runtime.loads());
    const ready = receipts(keeper);
    const nonce = machine.randomBytes(16);
    const uptimeSeconds = machine.uptimeSeconds();
    // Grows over an agent's restart within one boot, as the session may go on then.
    const micros = BigInt(Math.floor(uptimeSeconds * 1e6));
    sequence = micros > sequence ? micros : sequence + 1n;
    const bytes = encodeHeartbeat(
      {
        session: Buffer.from(session.id, 'hex'),
        sequence,
        nonce,
        generation: BigInt(options.appliedGeneration()),
        permitSequence: keeper.permitSequence,
        uptimeSeconds,
        load: machine.load(),
        customers: loads,
        receipts: ready,
      },
      session.key,
    );
    lastBeatMs = machine.now();
    // Before it is sent: a permit must never count from later than the nonce's departure.
    apply({ type: 'sent', nonce, nowMs: lastBeatMs });
    counts.heartbeats += 1;
    cancelRetry?.();
    // Not for ever: a rack whose controller is away calls at its regular pace.
    if (lastPermitMs !== undefined && lastBeatMs - lastPermitMs < silentAfterMs)
      cancelRetry = machine.later(beat, heartbeatRetryMs);
    // A refused send (controller or cable away) is the same as a lost datagram: silence says it all.
    socket.send(bytes, () => {});
  }

  function receive(bytes: Buffer): void {
    const nowMs = machine.now();
    const permit = read(bytes);
    if (permit === undefined) {
      counts.refused += 1;
      return;
    }
    counts.permits += 1;
    // A replay does not say that the controller is there, nor that it heard us.
    if (permit.sequence > keeper.permitSequence) {
      lastPermitMs = nowMs;
      cancelRetry?.();
    }
    apply({ type: 'permit', permit, nowMs });
    counts.slowestPermitMs = Math.max(counts.slowestPermitMs, machine.now() - nowMs);
  }

  function read(bytes: Buffer): Permit | undefined {
    try {
      const permit = decodePermit(bytes, session.key);
      return permit.session.toString('hex') === session.id ? permit : undefined;
    } catch (error) {
      if (error instanceof MalformedError) return undefined;
      throw error;
    }
  }

  // Connected: the kernel drops what does not come from the controller's address and port. A connected socket also keeps
  // the address that the node had at that time, so a silent one is replaced.
  function open(): void {
    socket?.close();
    connected = false;
    openedMs = machine.now();
    const opened = machine.openSocket();
    socket = opened;
    opened.on('message', receive);
    // ECONNREFUSED while the controller restarts, ENETUNREACH without an address.
    opened.on('error', () => {});
    opened.connect(controller.port, controller.host, (error?: Error) => {
      if (error !== undefined || socket !== opened || ended) return;
      connected = true;
      beat();
    });
  }

  function regular(): void {
    const nowMs = machine.now();
    if (nowMs - Math.max(lastPermitMs ?? 0, openedMs) > silentAfterMs) open();
    else beat();
    nextBeatMs = Math.max(nextBeatMs + heartbeatIntervalMs, nowMs);
    cancelBeat = machine.later(regular, nextBeatMs - nowMs);
  }

  let cancelBeat: (() => void) | undefined;
  open();
  nextBeatMs += heartbeatIntervalMs;
  cancelBeat = machine.later(regular, heartbeatIntervalMs);
  apply({ type: 'tick', nowMs: machine.now() });

  return {
    useSession(next) {
      if (next.id === session.id && next.key.equals(session.key)) return;
      session = next;
      apply({ type: 'session' });
      beatSoon();
    },
    lastPermitMs: () => lastPermitMs,
    permitted: () => [...keeper.customers.keys()],
    counts: () => counts,
    [Symbol.dispose]() {
      ended = true;
      cancelBeat?.();
      cancelExtraBeat?.();
      cancelRetry?.();
      cancelTick?.();
      socket?.close();
      socket = undefined;
    },
  };
}

/** A heartbeat has room for so many; where there are more, those with processes are told of. */
function mostLoaded(loads: CustomerLoad[]): CustomerLoad[] {
  if (loads.length <= customersPerNodeLimit) return loads;
  return loads.toSorted((one, other) => other.processes - one.processes).slice(0, customersPerNodeLimit);
}
