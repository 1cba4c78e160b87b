// What the rest of Muster asks of the audit log. Orders, lifts, receipts, escalations, fences and drills get their
// entries by themselves, see `feed.ts`.
import type { AuditEntry, AuditVerdict } from '../../protocol/api/audit.ts';
import { StorageError } from '../store/store.ts';
import type { AuditLog } from './audit.ts';
import type { NewEntry } from './entries.ts';
import type { AuditFeed } from './feed.ts';
import { verifyAudit } from './verification.ts';

export interface AuditBook {
  /** Queued, never throws. */
  append(entry: NewEntry): void;
  /** Oldest first. With `after`: those that followed it; without: the newest. Throws StorageError. */
  entries(wanted: { after?: number; limit: number }): Promise<AuditEntry[]>;
  /** Goes through the whole log, in slices; who asks meanwhile shares the answer. Throws StorageError. */
  verify(): Promise<AuditVerdict>;
}

/** `log`: left out, none is kept. */
export function auditBook({ log, feed }: { log: AuditLog | undefined; feed: AuditFeed }): AuditBook {
  let verifying: Promise<AuditVerdict> | undefined;
  return {
    append: (entry) => log?.append(entry),
    entries: async (wanted) => log?.entries(wanted) ?? [],
    verify: () => {
      if (log === undefined) return Promise.reject(new StorageError('no audit log is kept'));
      verifying ??= verifyAudit(log, { documentsNow: () => feed.documentsNow() }).finally(
        () => (verifying = undefined),
      );
      return verifying;
    },
  };
}
