// The agent: joins its controller, calls in, obeys permits, and keeps the node as the controller wants it.
//
//   session ─► heartbeats, permits ─► kill / allow, leash      roll-call/
//                     └─► newer generation ─► desired state     api/desired-state.ts ─► containers/
//   reports, logs, sample ─► controller                         api/report.ts, sample.ts
//   silence ─► rejoin, beside the heartbeats                    api/join.ts
//
// One thread, and permits have priority: whatever else runs on it must be short, so sizes are bounded everywhere and other
// programs run only asynchronously.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { Value } from 'typebox/value';
import type { JoinAnswer } from '../protocol/api/agent.ts';
import { Problem } from '../protocol/api/problem.ts';
import { configurationLimitBytes } from '../protocol/desired-state.ts';
import { silentAfterMs } from '../protocol/timing.ts';
import { startBeacon } from './beacon.ts';
import type { Endpoint } from '../protocol/ipv4.ts';
import type { Runtime, RuntimeOptions } from './containers/runtime.ts';
import { inWords, type ControllerClient } from './api/controller-client.ts';
import { desiredState } from './api/desired-state.ts';
import { areComplete, findFacts, firstFacts } from './facts.ts';
import { agentSession, join, loadSession, saveSession, type Identity } from './api/join.ts';
import { writeLeash } from './roll-call/leash.ts';
import { thisMachine } from './machine.ts';
import { startReporter } from './api/report.ts';
import { startRollCall, type RollCall } from './roll-call/roll-call.ts';
import { newSampler } from './sample.ts';

const delayResolutionMs = 20;
/** So often the silence is looked at. */
const watchMs = 500;
/** No image of a customer is larger: it must fit a board's memory. */
const imageLimitBytes = 1024 ** 3;
const configurationDeadlineMs = 10_000;
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
  await using beacon = startBeacon({
    interface: options.interface,
    mac: identity.mac,
    bootId: identity.bootId,
    port: options.beaconPort,
  });
  log(`${identity.mac}, boot ${identity.bootId}, beacon ${beacon.uuid.toString('hex')}`);

  const saved = loadSession(options.runDir, identity);
  let facts = saved?.facts ?? firstFacts();
  let answer = saved?.answer;
  let rollCall: RollCall | undefined;

  await using runtime = options.createRuntime({
    nodeName: () => answer?.name ?? `node-${identity.mac.replaceAll(':', '').slice(-6)}`,
    async fetchSquashfs(sha256, destination, abort) {
      if (answer === undefined) throw new Error(`cannot fetch image ${sha256}: not joined`);
      const session = agentSession(answer);
      const path = `/v1/squashfs/${sha256}`;
      await client.download({ path, session, destination, sha256, limitBytes: imageLimitBytes, signal: abort });
    },
    async fetchConfiguration(sha256, abort) {
      if (answer === undefined) throw new Error(`cannot fetch configuration ${sha256}: not joined`);
      const { status, body } = await client.call({
        method: 'GET',
        path: `/v1/nodes/${identity.mac}/configurations/${sha256}`,
        session: agentSession(answer),
        deadlineMs: configurationDeadlineMs,
        limitBytes: configurationLimitBytes,
        signal: abort,
      });
      if (status !== 200)
        throw new Error(saidIn(body) ?? `cannot fetch configuration ${sha256}: status ${status}, want 200`);
      return body;
    },
  });

  async function joinOnce(also: { signal: AbortSignal; firstWaitMs?: number }): Promise<JoinAnswer> {
    const { token, reboot } = options;
    const joined = await join({
      client,
      identity,
      facts,
      saved: answer,
      token,
      permitted: () => rollCall?.permitted().length ?? 0,
      reboot,
      log,
      nowMs: thisMachine.now,
      random,
      ...also,
    });
    answer = joined;
    keep(joined);
    log(`joined as ${joined.name}, session ${joined.session}`);
    return joined;
  }
  function keep(joined: JoinAnswer): void {
    saveSession(options.runDir, { mac: identity.mac, bootId: identity.bootId, answer: joined, facts });
  }

  let session = agentSession(await joinOnce({ signal }));
  using desired = desiredState({
    client,
    mac: identity.mac,
    session: () => session,
    apply: (wanted, misfits) => runtime.apply(wanted, misfits),
    log,
    random,
    wait: (ms, ended) => wait(ms, undefined, { signal: ended }),
  });

  let leashTroubles = 0;
  using calling = startRollCall({
    controller: options.udp,
    session,
    runtime,
    vouch(vouches) {
      if (options.leashFifo === undefined) return;
      const trouble = writeLeash(options.leashFifo, vouches, {
        nowMs: thisMachine.now(),
        uptimeSeconds: thisMachine.uptimeSeconds(),
      });
      if (trouble !== undefined && leashTroubles++ % 100 === 0) log(trouble);
    },
    appliedGeneration: () => desired.applied(),
    onGeneration: (generation) => desired.want(generation),
    log,
    machine: thisMachine,
  });
  rollCall = calling;

  const delay = monitorEventLoopDelay({ resolution: delayResolutionMs });
  delay.enable();
  const sampler = newSampler(options.interface);
  using reporter = startReporter({
    client,
    mac: identity.mac,
    session: () => session,
    runtime,
    appliedGeneration: () => desired.applied(),
    sample() {
      const worstMs = Math.max(0, delay.max / 1e6 - delayResolutionMs);
      delay.reset();
      return sampler.sample(worstMs);
    },
    log,
  });

  if (!areComplete(facts))
    findFacts().then(
      (found) => {
        facts = found;
        if (answer !== undefined) keep(answer);
        reporter.tell(found);
      },
      (error: unknown) => log(`facts are incomplete: ${inWords(error)}`),
    );

  let quietSinceMs = thisMachine.now();
  while (await passes(watchMs, signal)) {
    if (!isQuiet(calling, quietSinceMs)) continue;
    log(`no permit for ${silentAfterMs} ms: trying to join again`);
    const heard = new AbortController();
    const watching = watchFor(() => !isQuiet(calling, quietSinceMs), heard, signal);
    try {
      const next = agentSession(
        await joinOnce({ signal: AbortSignal.any([signal, heard.signal]), firstWaitMs: random() * rejoinSpreadMs }),
      );
      if (next.id !== session.id || !next.key.equals(session.key)) desired.forget();
      session = next;
      calling.useSession(next);
      reporter.hurry();
    } catch (error) {
      if (!heard.signal.aborted && !signal.aborted) throw error;
      if (heard.signal.aborted) log('permits are back');
    } finally {
      heard.abort();
      await watching;
    }
    quietSinceMs = thisMachine.now();
  }
  delay.disable();
}

/** The controller's own sentence, where it sent one. */
function saidIn(body: Buffer): string | undefined {
  try {
    const problem: unknown = JSON.parse(body.toString('utf8'));
    return Value.Check(Problem, problem) ? problem.detail : undefined;
  } catch {
    // Not ours: the status is all there is to say.
    return undefined;
  }
}

function isQuiet(rollCall: RollCall, sinceMs: number): boolean {
  return thisMachine.now() - Math.max(rollCall.lastPermitMs() ?? 0, sinceMs) > silentAfterMs;
}

/** Aborts `told` when the condition holds. */
async function watchFor(condition: () => boolean, told: AbortController, signal: AbortSignal): Promise<void> {
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
