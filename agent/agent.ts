// The agent: joins its controller, calls in, obeys permits, and keeps the node as the controller wants it.
//
//   session ─► heartbeats, permits ─► kill / allow, leash      roll-call/
//                     └─► newer generation ─► desired state     api/desired-state.ts ─► containers/
//   reports, logs, sample ─► controller                         api/report.ts, sample.ts
//   silence ─► rejoin, beside the heartbeats                    api/join.ts
//
// One thread, and permits have priority: whatever else runs on it must be short, so sizes are bounded everywhere and other
// programs run only asynchronously.
import { setTimeout as wait } from 'node:timers/promises';
import type { Endpoint } from '../protocol/ipv4.ts';
import { silentAfterMs } from '../protocol/timing.ts';
import { isSameSession } from './agent-session.ts';
import { inWords, type ControllerClient } from './api/controller-client.ts';
import { customerFiles } from './api/customer-files.ts';
import { desiredState } from './api/desired-state.ts';
import type { Identity } from './api/join.ts';
import { membership, type Membership } from './api/membership.ts';
import { startReporter, type Reporter } from './api/report.ts';
import { startBeacon } from './beacon.ts';
import type { Runtime, RuntimeOptions } from './containers/runtime.ts';
import { areComplete, findFacts } from './facts.ts';
import { thisMachine } from './machine.ts';
import { leashChunks, writeLeash, type Vouch } from './roll-call/leash.ts';
import { startRollCall, type RollCall } from './roll-call/roll-call.ts';
import { newSampler } from './sample.ts';
import { watchThreadDelay } from './thread-delay.ts';

/** So often the silence is looked at. */
const watchMs = 500;
/** A rack that lost its controller comes back spread over this. */
const rejoinSpreadMs = 2_000;

export interface AgentOptions {
  identity: Identity;
  udp: Endpoint;
  token: string | undefined;
  client: ControllerClient;
  /** Where the session is kept. */
  runDir: string;
  /** Undefined where no leash runs: on a host under test. */
  leashFifo: string | undefined;
  interface: string;
  beaconPort: number;
  createRuntime: (hooks: Pick<RuntimeOptions, 'fetchSquashfs' | 'fetchConfiguration' | 'nodeName'>) => Runtime;
  log: (text: string) => void;
  reboot: (why: string) => void;
  random: () => number;
  signal: AbortSignal;
}

/** Runs until the signal, then says goodbye and leaves the containers running. Any failure that it cannot handle rejects. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { identity, client, log, random, signal } = options;
  const { mac, bootId } = identity;
  await using beacon = startBeacon({ interface: options.interface, mac, bootId, port: options.beaconPort });
  log(`${mac}, boot ${bootId}, beacon ${beacon.uuid.toString('hex')}`);

  let rollCall: RollCall | undefined;
  const member = membership({
    ...options,
    permitted: () => rollCall?.permitted().length ?? 0,
    nowMs: thisMachine.now,
  });
  await using runtime = options.createRuntime({
    nodeName: () => member.name() ?? `node-${mac.replaceAll(':', '').slice(-6)}`,
    ...customerFiles({ client, mac, session: member.session }),
  });

  let session = await member.join({ signal });
  const link = { client, mac, session: () => session, log };
  using desired = desiredState({
    ...link,
    apply: (wanted, misfits) => runtime.apply(wanted, misfits),
    random,
    wait: (ms, ended) => wait(ms, undefined, { signal: ended }),
  });
  using calling = startRollCall({
    controller: options.udp,
    session,
    runtime,
    vouch: vouchBy(options),
    appliedGeneration: () => desired.applied(),
    onGeneration: (generation) => desired.want(generation),
    log,
    machine: thisMachine,
  });
  rollCall = calling;

  using delay = watchThreadDelay();
  const sampler = newSampler(options.interface);
  using reporter = startReporter({
    ...link,
    runtime,
    appliedGeneration: () => desired.applied(),
    sample: () => sampler.sample(delay.worstMs()),
  });
  if (!areComplete(member.facts())) void lookAround({ member, reporter, log });

  await rejoinInSilence({
    rollCall: calling,
    log,
    signal,
    async rejoin(heard) {
      const next = await member.join({ signal: heard, firstWaitMs: random() * rejoinSpreadMs });
      if (!isSameSession(next, session)) desired.forget();
      session = next;
      calling.useSession(next);
      reporter.hurry();
    },
  });
}

/** What Node.js cannot know of the machine takes a process and its time, which a join does not wait for. */
async function lookAround(at: { member: Membership; reporter: Reporter; log: (text: string) => void }): Promise<void> {
  const found = await findFacts().catch((error: unknown) => at.log(`facts are incomplete: ${inWords(error)}`));
  if (found === undefined) return;
  at.member.learn(found);
  at.reporter.tell(found);
}

/** Of the leash that cannot be told, each hundredth time is told. */
function vouchBy({ leashFifo, log }: Pick<AgentOptions, 'leashFifo' | 'log'>): (vouches: Vouch[]) => void {
  if (leashFifo === undefined) return () => {};
  let troubles = 0;
  return (vouches) => {
    const clock = { nowMs: thisMachine.now(), uptimeSeconds: thisMachine.uptimeSeconds() };
    const trouble = writeLeash(leashFifo, leashChunks(vouches, clock));
    if (trouble !== undefined && troubles++ % 100 === 0) log(trouble);
  };
}

interface Rejoining {
  rollCall: RollCall;
  /** Aborted when permits are back by themselves. */
  rejoin: (heard: AbortSignal) => Promise<void>;
  log: (text: string) => void;
  signal: AbortSignal;
}

/** Until the signal. Beside the heartbeats, which go on meanwhile. */
async function rejoinInSilence({ rollCall, rejoin, log, signal }: Rejoining): Promise<void> {
  let quietSinceMs = thisMachine.now();
  const isQuiet = (): boolean =>
    thisMachine.now() - Math.max(rollCall.lastPermitMs() ?? 0, quietSinceMs) > silentAfterMs;
  while (await passes(watchMs, signal)) {
    if (!isQuiet()) continue;
    log(`no permit for ${silentAfterMs} ms: trying to join again`);
    const heard = new AbortController();
    const watching = abortWhen(() => !isQuiet(), { told: heard, signal });
    try {
      await rejoin(AbortSignal.any([signal, heard.signal]));
    } catch (error) {
      if (!heard.signal.aborted && !signal.aborted) throw error;
      if (heard.signal.aborted) log('permits are back');
    } finally {
      heard.abort();
      await watching;
    }
    quietSinceMs = thisMachine.now();
  }
}

async function abortWhen(
  condition: () => boolean,
  { told, signal }: { told: AbortController; signal: AbortSignal },
): Promise<void> {
  while (await passes(watchMs, AbortSignal.any([signal, told.signal]))) if (condition()) told.abort();
}

/** False when the signal came first. */
async function passes(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await wait(ms, undefined, { signal });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
