// Brings the desired state here when a permit speaks of a newer generation. One fetch at a time; the newest state counts.
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { Desired, DesiredCustomer, DesiredInstance, type InstanceReport } from '../../protocol/api/agent.ts';
import { desiredLimitBytes, instancesPerNodeLimit } from '../../protocol/desired-state.ts';
import { instancePattern } from '../../protocol/names.ts';
import { backoffMs } from '../backoff.ts';
import { inWords, type ControllerClient } from './controller-client.ts';
import type { AgentSession } from '../agent-session.ts';

const callDeadlineMs = 10_000;
/** An answer that permits have overtaken is thrown away so often; then it is better than none. */
const overtakenLimit = 3;

export interface DesiredStateOptions {
  client: Pick<ControllerClient, 'call'>;
  mac: string;
  session: () => AgentSession;
  apply: (desired: Desired, misfits: InstanceReport[]) => void;
  log: (text: string) => void;
  random: () => number;
  /** Rejects when the signal comes first. */
  wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface DesiredState extends Disposable {
  want: (generation: bigint) => void;
  /** A new session: the state that was applied may belong to another controller. */
  forget: () => void;
  applied: () => number;
}

export function desiredState(options: DesiredStateOptions): DesiredState {
  const { client, mac, log, random, wait } = options;
  const ended = new AbortController();
  /** Aborted when the session ends: what was asked in it is not applied any more. */
  let current = new AbortController();
  let wanted = 0n;
  let applied = 0;
  let fetching = false;
  const path = `/v1/nodes/${mac}/desired`;

  async function fetchUntilCurrent(): Promise<void> {
    fetching = true;
    try {
      for (let attempt = 0; BigInt(applied) < wanted && !ended.signal.aborted; attempt += 1) {
        const { signal } = current;
        const outcome = await fetchOnce(AbortSignal.any([ended.signal, signal]));
        if (signal.aborted) continue;
        // It was made while an order stood that a permit since then no longer knows: it would remove who may run.
        const overtaken = 'desired' in outcome && BigInt(outcome.desired.generation) < wanted;
        if ('desired' in outcome && outcome.desired.generation > applied && !(overtaken && attempt < overtakenLimit)) {
          applied = outcome.desired.generation;
          options.apply(outcome.desired, outcome.misfits);
        }
        if (BigInt(applied) >= wanted) break;
        const why = 'why' in outcome ? outcome.why : `generation ${outcome.desired.generation}, want ${wanted}`;
        if (attempt % 10 === 0) log(`no desired state: ${why}`);
        await wait(backoffMs(attempt, { firstMs: 200, mostMs: 5_000, random }), ended.signal);
      }
    } catch (error) {
      if (!ended.signal.aborted) throw error;
    } finally {
      fetching = false;
    }
  }

  async function fetchOnce(signal: AbortSignal): Promise<Readable | { why: string }> {
    try {
      const { status, body } = await client.call({
        method: 'GET',
        path,
        session: options.session(),
        deadlineMs: callDeadlineMs,
        limitBytes: desiredLimitBytes,
        signal,
      });
      if (status !== 200) return { why: `status ${status}, want 200` };
      const answer: unknown = JSON.parse(body.toString('utf8'));
      return readDesired(answer) ?? { why: 'the answer has another form than Desired' };
    } catch (error) {
      return { why: inWords(error) };
    }
  }

  return {
    want(generation) {
      if (generation > wanted) wanted = generation;
      if (!fetching) void fetchUntilCurrent();
    },
    forget() {
      wanted = 0n;
      applied = 0;
      current.abort();
      current = new AbortController();
    },
    applied: () => applied,
    [Symbol.dispose]() {
      ended.abort();
    },
  };
}

interface Readable {
  desired: Desired;
  /** To be reported: what is wanted and cannot be read. */
  misfits: InstanceReport[];
}

const Envelope = Type.Object({
  generation: Type.Integer(),
  customers: Type.Array(Type.Unknown(), { maxItems: instancesPerNodeLimit }),
  instances: Type.Array(Type.Unknown(), { maxItems: instancesPerNodeLimit }),
});
const Named = Type.Object({ id: Type.String({ pattern: instancePattern }) });

/** Each entry is judged alone: one that this agent cannot read spoils no other. Undefined where there are no entries at all. */
export function readDesired(answer: unknown): Readable | undefined {
  if (Value.Check(Desired, answer)) return { desired: answer, misfits: [] };
  if (!Value.Check(Envelope, answer)) return undefined;
  const { generation } = answer;
  const customers = answer.customers.filter((each) => Value.Check(DesiredCustomer, each));
  const instances = answer.instances.filter((each) => Value.Check(DesiredInstance, each));
  const misfits = answer.instances.flatMap((each): InstanceReport[] => {
    if (Value.Check(DesiredInstance, each) || !Value.Check(Named, each)) return [];
    const [fault] = Value.Errors(DesiredInstance, each);
    const where = fault === undefined ? '' : `: ${fault.instancePath.slice(1)} ${fault.message}`;
    return [{ id: each.id, state: 'failed', reason: `this agent cannot read it${where}`.slice(0, 480), restarts: 0 }];
  });
  return { desired: { generation, customers, instances }, misfits };
}
