// What is decided about operators, approvals and workloads is in the audit log, too.
import type { Transaction } from '../store/transaction.ts';
import type { Decide } from '../store/writer.ts';

/** An entry of the audit log, under the kind of whoever hands this out. */
export type Note = (subject: string, body: Readonly<Record<string, unknown>>) => void;

/** Has `transact` take the decision, then adds what it noted to the audit log. */
export async function noted<T>(
  decide: (transaction: Transaction, note: Note) => T,
  { audit, transact }: { audit: Note; transact: (decide: Decide<T>) => Promise<T> },
): Promise<T> {
  const notes: Parameters<Note>[] = [];
  const answer = await transact((transaction) => {
    // A decision may be taken again.
    notes.length = 0;
    return decide(transaction, (...note) => void notes.push(note));
  });
  for (const note of notes) audit(...note);
  return answer;
}
