// What is decided about operators and approvals is in the audit log, too.
import type { Draft } from '../store/transaction.ts';
import type { Decide } from '../store/writer.ts';

/** An entry of the audit log, under the kind `approval`. */
export type Note = (subject: string, body: Readonly<Record<string, unknown>>) => void;

/** Has `take` take the decision, then adds what it noted to the audit log. */
export async function noted<T>(
  decide: (draft: Draft, note: Note) => T,
  audit: Note,
  take: (decide: Decide<T>) => Promise<T>,
): Promise<T> {
  const notes: Parameters<Note>[] = [];
  const answer = await take((draft) => {
    // A decision may be taken again.
    notes.length = 0;
    return decide(draft, (...note) => void notes.push(note));
  });
  for (const note of notes) audit(...note);
  return answer;
}
