// How a node comes to its session, and back to one. The token on the kernel's command line is good for one join; with the
// session that it bought (kept for root alone in /run, so for one boot) an agent that restarts, or whose controller fell
// silent, proves who it is. A controller that for a minute refuses both, while nothing is permitted here, leaves one way to
// a new token: a new boot.
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Type, type Static } from 'typebox';
import { Value } from 'typebox/value';
import { sessionProof } from '../../protocol/agent-authorization.ts';
import { JoinAnswer, type JoinRequest } from '../../protocol/api/agent.ts';
import { NodeFacts } from '../../protocol/api/nodes.ts';
import { backoffMs } from '../backoff.ts';
import { inWords, type ControllerClient } from './controller-client.ts';

const callDeadlineMs = 10_000;
const answerLimitBytes = 64 * 1024;
/** So long a controller must have refused us, without a break, before the node reboots. */
export const refusedBeforeRebootMs = 60_000;

/** What survives an agent, not a boot. The facts too: an agent that comes back has less than 3 s until the leash acts. */
const SavedSession = Type.Object({
  mac: Type.String(),
  bootId: Type.String(),
  answer: JoinAnswer,
  facts: NodeFacts,
});
export type SavedSession = Static<typeof SavedSession>;

export interface Identity {
  mac: string;
  bootId: string;
  serial: string | null;
  agentVersion: string;
  sshHostKey: string | null;
}

export function loadSession(runDir: string, { mac, bootId }: Identity): SavedSession | undefined {
  let text: string;
  try {
    text = readFileSync(sessionFile(runDir), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const saved = parse(text);
  if (!Value.Check(SavedSession, saved)) return undefined;
  return saved.mac === mac && saved.bootId === bootId ? saved : undefined;
}

export function saveSession(runDir: string, saved: SavedSession): void {
  const file = sessionFile(runDir);
  writeFileSync(`${file}.new`, JSON.stringify(saved), { mode: 0o600 });
  chmodSync(`${file}.new`, 0o600);
  renameSync(`${file}.new`, file);
}

export interface JoinOptions {
  client: ControllerClient;
  identity: Identity;
  facts: NodeFacts;
  /** Tried first. */
  saved: JoinAnswer | undefined;
  token: string | undefined;
  /** Customers that may run now: while there are any, a refusal is no reason to reboot. */
  permitted: () => number;
  reboot: (why: string) => void;
  log: (text: string) => void;
  nowMs: () => number;
  random: () => number;
  signal: AbortSignal;
  /** Waits before the first attempt: a rack of nodes that lost one controller must not knock as one. */
  firstWaitMs?: number;
}

/** Tries until it is taken in, or aborted: then it throws the signal's reason. */
export async function join(options: JoinOptions): Promise<JoinAnswer> {
  const { signal, log, random, nowMs } = options;
  let refusedSinceMs: number | undefined;
  let last = '';
  if (options.firstWaitMs !== undefined) await wait(options.firstWaitMs, undefined, { signal });
  for (let attempt = 0; ; attempt += 1) {
    const outcome = await knock(options);
    if ('answer' in outcome) return outcome.answer;
    signal.throwIfAborted();
    const waitMs = backoffMs(attempt, { firstMs: 500, mostMs: 15_000, random });
    if (outcome.why !== last || attempt % 10 === 0) log(`${outcome.why}; next attempt in ${Math.round(waitMs)} ms`);
    last = outcome.why;
    if (outcome.refused) {
      refusedSinceMs ??= nowMs();
      if (nowMs() - refusedSinceMs >= refusedBeforeRebootMs && options.permitted() === 0) {
        options.reboot(`refused for ${Math.round((nowMs() - refusedSinceMs) / 1000)} s: ${outcome.why}`);
        refusedSinceMs = undefined;
      }
    } else refusedSinceMs = undefined;
    await wait(waitMs, undefined, { signal });
  }
}

type Outcome = { answer: JoinAnswer } | { why: string; refused: boolean };

/** The session's proof first, then the token: it is spent after one use, but we may never have heard the answer to that. */
async function knock({ client, identity, facts, saved, token, signal }: JoinOptions): Promise<Outcome> {
  const proofs: Pick<JoinRequest, 'session' | 'token'>[] = [];
  if (saved !== undefined) {
    const proof = sessionProof(Buffer.from(saved.key, 'hex'), identity);
    proofs.push({ session: { id: saved.session, proof } });
  }
  if (token !== undefined) proofs.push({ token });
  let outcome: Outcome = { why: 'cannot join: neither a token nor a session of this boot', refused: true };
  for (const proof of proofs) {
    const body: JoinRequest = { ...identity, facts, ...proof };
    try {
      const { status, body: bytes } = await client.call({
        method: 'POST',
        path: '/v1/join',
        body,
        deadlineMs: callDeadlineMs,
        limitBytes: answerLimitBytes,
        signal,
      });
      const answer = parse(bytes.toString('utf8'));
      if (status === 200 && Value.Check(JoinAnswer, answer)) return { answer };
      const said = bytes.toString('utf8').slice(0, 200);
      outcome = { why: `cannot join: status ${status}: ${said}`, refused: status === 401 || status === 403 };
      if (!outcome.refused) return outcome;
    } catch (error) {
      return { why: `cannot join: ${inWords(error)}`, refused: false };
    }
  }
  return outcome;
}

function sessionFile(runDir: string): string {
  return joinPath(runDir, 'session.json');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
