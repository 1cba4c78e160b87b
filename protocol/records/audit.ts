// The audit log's chain, for both ends: the controller writes and checks it, `muster audit verify` checks it by itself.
import { createHash } from 'node:crypto';
import type { AuditEntry } from '../api/audit.ts';

/** What the first entry names as the hash of the one before it. */
export const chainStart = '0'.repeat(64);

/** See `AuditEntry`. */
export function auditHash({ sequence, at, kind, subject, body, previous }: Omit<AuditEntry, 'hash'>): string {
  return createHash('sha256')
    .update(`${previous}\n${JSON.stringify([sequence, at, kind, subject, body])}`)
    .digest('hex');
}

/** Takes the entries of a log one by one, from the first on, and finds where they are not one chain. */
export class ChainCheck {
  entries = 0;
  /** Of the last entry so far. */
  head = chainStart;
  #sequence = 0;

  /** What is wrong with this entry, each in one sentence. After a fault it goes on from what the entry claims. */
  add(entry: AuditEntry): string[] {
    const { sequence, previous, hash } = entry;
    const problems: string[] = [];
    const expected = this.#sequence + 1;
    if (sequence > expected)
      problems.push(
        sequence === expected + 1
          ? `entry ${expected} is missing`
          : `entries ${expected} to ${sequence - 1} are missing`,
      );
    else if (sequence < expected) problems.push(`entry ${sequence} comes after entry ${this.#sequence}`);
    else if (previous !== this.head)
      problems.push(
        `entry ${sequence} does not follow the one before it: it names ${short(previous)}, want ${short(this.head)}`,
      );
    const wanted = auditHash(entry);
    if (wanted !== hash)
      problems.push(`entry ${sequence} was changed: its hash is ${short(hash)}, its text gives ${short(wanted)}`);
    this.entries++;
    this.head = hash;
    this.#sequence = sequence;
    return problems;
  }
}

function short(hash: string): string {
  return `${String(hash).slice(0, 12)}…`;
}
