import type { JoinAnswer } from '../protocol/api/agent.ts';

export interface AgentSession {
  /** 32 hex digits. */
  id: string;
  key: Buffer;
}

export function agentSession({ session, key }: JoinAnswer): AgentSession {
  return { id: session, key: Buffer.from(key, 'hex') };
}

export function isSameSession(one: AgentSession, other: AgentSession): boolean {
  return one.id === other.id && one.key.equals(other.key);
}
