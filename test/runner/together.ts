// A program, forked by `run.ts`: runs files of unit tests, all in this process, and sends what becomes of each test. Most of
// the time of a unit test is loading what the others have loaded.
//
//   node together.ts NAME FILE...    only tests whose name matches NAME; all where it is empty
import { run } from 'node:test';
import { outcomeOf, type Outcome } from './outcome.ts';

/** A test begins; one has ended; a note. Nothing follows `done`, and the process ends by itself. */
export type Told = { begins: string } | { ended: Outcome } | { note: string } | { done: true };

const [name = '', ...files] = process.argv.slice(2);
const tell = (told: Told): void => void process.send?.(told);

const stream = run({
  files,
  isolation: 'none',
  ...(name === '' ? {} : { testNamePatterns: [new RegExp(name)] }),
});
for await (const event of stream) {
  if (event.type === 'test:dequeue') tell({ begins: event.data.name });
  // The totals of all files come without a path.
  if (event.type === 'test:diagnostic' && event.data.file !== undefined) tell({ note: event.data.message });
  const ended = outcomeOf(event);
  if (ended !== undefined) tell({ ended });
}
tell({ done: true });
process.disconnect();
