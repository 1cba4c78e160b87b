// What the node is to its controller, through rejoins and over an agent's restart: name, session, and the facts it joined with.
import type { NodeFacts } from '../../protocol/api/nodes.ts';
import { agentSession, type AgentSession } from '../agent-session.ts';
import { firstFacts } from '../facts.ts';
import { join, loadSession, saveSession, type JoinOptions } from './join.ts';

export interface MembershipOptions extends Omit<JoinOptions, 'facts' | 'saved' | 'signal' | 'firstWaitMs'> {
  /** Where the session is kept. */
  runDir: string;
}

export interface Membership {
  /** Of the last join of this boot, a former agent's too; undefined where there was none. */
  name: () => string | undefined;
  session: () => AgentSession | undefined;
  facts: () => NodeFacts;
  /** For the next join, and for the next agent of this boot. */
  learn: (facts: NodeFacts) => void;
  /** Tries until the node is taken in, or aborted: then it throws the signal's reason. */
  join: (when: Pick<JoinOptions, 'signal' | 'firstWaitMs'>) => Promise<AgentSession>;
}

export function membership({ runDir, ...options }: MembershipOptions): Membership {
  const { identity, log } = options;
  const saved = loadSession(runDir, identity);
  let facts = saved?.facts ?? firstFacts();
  let answer = saved?.answer;

  function save(): void {
    const { mac, bootId } = identity;
    if (answer !== undefined) saveSession(runDir, { mac, bootId, answer, facts });
  }

  return {
    name: () => answer?.name,
    session: () => answer && agentSession(answer),
    facts: () => facts,
    learn(found) {
      facts = found;
      save();
    },
    async join(when) {
      answer = await join({ ...options, facts, saved: answer, ...when });
      save();
      log(`joined as ${answer.name}, session ${answer.session}`);
      return agentSession(answer);
    },
  };
}
