// Join tokens, and the sessions that agents get for them. A board's boot script carries a token; its agent spends it once.
import { createHash, timingSafeEqual } from 'node:crypto';
import { sessionProof } from '../../protocol/agent-authorization.ts';
import type { JoinAnswer, JoinRequest } from '../../protocol/api/agent.ts';
import type { Mac } from '../../protocol/mac.ts';
import { stopsByItselfMs } from '../../protocol/timing.ts';
import type { Refused } from '../refused.ts';
import type { NodeDocument, SessionDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import { createNode, nodeLimit, step } from './nodes.ts';

const joinTokenValidityMs = 10 * 60_000;

/** Random bytes are drawn by the caller, who may not be pure. */
export interface Draw {
  sessionId: string;
  key: string;
}

export function decideJoinToken(
  transaction: Transaction,
  { mac, token, ip, now, isHeld }: { mac: Mac; token: string; ip: string | undefined; now: number; isHeld: boolean },
): { token: string } | Refused {
  const node = transaction.get('nodes', mac) ?? createNode(transaction, { mac, now });
  if (node === undefined) return { refused: `${nodeLimit} nodes are known, want some of them removed first` };
  if (node.fenced) return { refused: `${node.name} is fenced` };
  if (isHeld && transaction.get('sessions', mac) !== undefined) return heldPlace(node);
  const ticket = {
    tokenSha256: sha256(token),
    expiresAt: now + joinTokenValidityMs,
    ...(ip === undefined ? {} : { ip }),
  };
  transaction.put('nodes', mac, { ...node, ticket });
  return { token };
}

/** For a board that was reset a moment ago, and for whoever would take the place of one that is alive. */
export function heldPlace({ name, ip, bootId }: NodeDocument): Refused & { held: true } {
  const seconds = stopsByItselfMs / 1_000;
  return {
    refused: `${name} at ${ip ?? 'an unknown address'} (boot ${bootId ?? 'unknown'}) has its place until it is silent for ${seconds} s`,
    held: true,
  };
}

interface Joining {
  request: JoinRequest;
  /** Whom the request came from. */
  ip: string;
  now: number;
}

export function decideJoin(
  transaction: Transaction,
  { request, ip, now, draw, isHeld }: Joining & { draw: Draw; isHeld: boolean },
): JoinAnswer | Refused {
  const node = transaction.get('nodes', request.mac);
  if (node === undefined) return { refused: `${request.mac} is unknown: it has to boot from this controller` };
  if (node.fenced) return { refused: `${node.name} is fenced` };
  const standing = transaction.get('sessions', request.mac);
  if (request.session !== undefined) {
    if (standing === undefined || !proves(standing, request))
      return { refused: `the session of ${node.name} is another one: it has to boot again` };
    return welcome(transaction, { node, request, ip, now, session: standing, event: 'rejoin' });
  }
  if (request.token === undefined) return { refused: 'neither a token nor a session was sent, want one of them' };
  const tokenSha256 = sha256(request.token);
  // The answer to the first try may have been lost: until a heartbeat shows that it was not, the same boot may ask again.
  if (
    node.state === 'joining' &&
    standing !== undefined &&
    standing.bootId === request.bootId &&
    equal(standing.tokenSha256, tokenSha256)
  )
    return welcome(transaction, { node, request, ip, now, session: standing, event: 'join' });
  if (node.ticket === null || !equal(node.ticket.tokenSha256, tokenSha256))
    return { refused: `the token was not issued for ${request.mac}, or is used up` };
  if (node.ticket.expiresAt <= now) return { refused: `the join token of ${request.mac} has expired` };
  // Its old session came back to life after the token was given: there are two of them.
  if (isHeld && standing !== undefined) return heldPlace(node);
  const lease = transaction.get('leases', ip);
  const isLeased = lease?.state === 'bound' && lease.mac === request.mac;
  if (node.ticket.ip !== undefined && node.ticket.ip !== ip && !isLeased)
    return {
      refused: `the join token of ${request.mac} was given to ${node.ticket.ip}, and ${ip} is not leased to that MAC`,
    };
  const session = {
    mac: request.mac,
    id: draw.sessionId,
    key: draw.key,
    bootId: request.bootId,
    tokenSha256,
    at: now,
  };
  transaction.put('sessions', request.mac, session);
  // Without a DHCP packet of this boot its duration is unknown.
  const known = node.readyAt === null ? node : { ...node, firstDhcpAt: null, readyAt: null };
  return welcome(transaction, { node: { ...known, ticket: null }, request, ip, now, session, event: 'join' });
}

interface Welcome extends Joining {
  node: NodeDocument;
  session: SessionDocument;
  event: 'join' | 'rejoin';
}

function welcome(transaction: Transaction, { node, request, ip, now, session, event }: Welcome): JoinAnswer {
  const joined = step(transaction, {
    node,
    event,
    now,
    reason: event === 'join' ? `joined with boot ${request.bootId}` : 'its agent started again',
  });
  transaction.put('nodes', node.mac, {
    ...joined,
    stage: 'joined',
    ip,
    bootId: request.bootId,
    serial: request.serial,
    facts: request.facts,
    sshHostKey: request.sshHostKey,
    agentVersion: request.agentVersion,
  });
  return { name: node.name, session: session.id, key: session.key };
}

function proves(session: SessionDocument, { mac, bootId, session: claim }: JoinRequest): boolean {
  if (claim === undefined || claim.id !== session.id || bootId !== session.bootId) return false;
  return equal(claim.proof, sessionProof(Buffer.from(session.key, 'hex'), { mac, bootId }));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
