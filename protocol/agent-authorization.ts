import { createHmac, timingSafeEqual } from 'node:crypto';

interface Session {
  id: string;
  key: Uint8Array;
}

interface Asked {
  method: string;
  path: string;
}

/** The `Authorization` header of an agent's request: it proves the session key without sending it. Runs inside pinned TLS. */
export function agentAuthorization(session: Session, { method, path }: Asked): string {
  return `Muster ${session.id}:${proof(session.key, `${method} ${path}`)}`;
}

/** The session id that a header claims, or undefined where it has another form. */
export function claimedSessionId(header: string | undefined): string | undefined {
  return /^Muster ([0-9a-f]{32}):[0-9a-f]{64}$/.exec(header ?? '')?.[1];
}

export function isAuthorized(header: string, { session, ...asked }: Asked & { session: Session }): boolean {
  const want = Buffer.from(agentAuthorization(session, asked));
  const got = Buffer.from(header);
  return want.length === got.length && timingSafeEqual(want, got);
}

/** What a restarted agent sends with its session's id to be taken back: `JoinRequest.session.proof`. */
export function sessionProof(key: Uint8Array, { mac, bootId }: { mac: string; bootId: string }): string {
  return proof(key, `rejoin ${mac} ${bootId}`);
}

function proof(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex');
}
