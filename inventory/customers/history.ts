// What was wanted of a workload before, so that it can be wanted again: its revisions, oldest first, bounded in number and in
// bytes. Another number of instances, stopping and starting are no revisions: nothing an instance would notice has changed.
import type { HistoryDocument, RevisionDocument, WorkloadDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Refused } from '../refused.ts';

const revisionLimit = 10;
/** Of all revisions of a workload, as JSON. The one before the present one is kept however large they are. */
const historyLimitBytes = 256 * 1024;
const leastRevisions = 2;

export interface Revised {
  /** As it was before; undefined where there was none. */
  before: WorkloadDocument | undefined;
  after: WorkloadDocument;
  by: string | undefined;
  changes: string[];
}

export function keepRevision(transaction: Transaction, { before, after, by, changes }: Revised): void {
  const id = `${after.customer}/${after.name}`;
  const kept = [...(transaction.get('histories', id)?.revisions ?? [])];
  // Of a workload from before there were histories.
  if (kept.length === 0 && before !== undefined)
    kept.push(revisionOf(before, { at: before.changedAt, by: null, changes: [] }));
  kept.push(revisionOf(after, { at: after.changedAt, by: by ?? null, changes }));
  transaction.put('histories', id, { revisions: bounded(kept) });
}

function revisionOf(
  { specRevision: revision, spec, image }: WorkloadDocument,
  told: Pick<RevisionDocument, 'at' | 'by' | 'changes'>,
): RevisionDocument {
  return { revision, spec, image, ...told };
}

function bounded(revisions: readonly RevisionDocument[]): RevisionDocument[] {
  let bytes = 0;
  const newest = revisions.slice(-revisionLimit).toReversed();
  const end = newest.findIndex((revision, at) => {
    bytes += JSON.stringify(revision).length;
    return at >= leastRevisions && bytes > historyLimitBytes;
  });
  return (end < 0 ? newest : newest.slice(0, end)).toReversed();
}

/** The revision to go back to: that one, or the one before the present one. */
export function earlierRevision(
  history: HistoryDocument | undefined,
  { id, to }: { id: string; to: number | undefined },
): RevisionDocument | Refused {
  const revisions = history?.revisions ?? [];
  const found = to === undefined ? revisions.at(-2) : revisions.find(({ revision }) => revision === to);
  if (found !== undefined) return found;
  const kept = revisions.map(({ revision }) => revision).join(', ');
  return to === undefined
    ? { refused: `cannot roll ${id} back: it was never wanted otherwise, as far as is kept` }
    : { refused: `cannot roll ${id} back to revision ${to}: want one that is kept, ${kept || 'and there is none'}` };
}
