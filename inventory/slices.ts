// Work that would hold up the event loop, and with it orders, boots and screens, is a generator: it yields where others may
// have their turn, and whoever drives it decides whether they get it.
import { setImmediate } from 'node:timers/promises';

export type Sliced<T> = Generator<undefined, T, undefined>;

/** Well below what an order may be late. */
const sliceMs = 2;
/** Steps of a few microseconds between two looks at the clock. */
export const itemsPerLook = 64;
const sortedAtOnce = 256;

export function inOneGo<T>(work: Sliced<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

export interface SliceOptions {
  /** Resolves when the event loop has done what else there was: `setImmediate`. */
  nextTurn: () => Promise<unknown>;
  /** Monotonic, ms. */
  clock: () => number;
}

const ownTurns: SliceOptions = { nextTurn: () => setImmediate(), clock: () => performance.now() };

export async function inSlices<T>(work: Sliced<T>, { nextTurn, clock } = ownTurns): Promise<T> {
  let began = clock();
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (clock() - began < sliceMs) continue;
    await nextTurn();
    began = clock();
  }
}

/** As `map`. */
export function* mapped<T, R>(items: Iterable<T>, of: (item: T) => R): Sliced<R[]> {
  const results: R[] = [];
  for (const item of items) {
    results.push(of(item));
    yield;
  }
  return results;
}

/** As `toSorted`, where no two are equal. */
export function* sorted<T>(items: readonly T[], compare: (a: T, b: T) => number): Sliced<T[]> {
  let runs: T[][] = [];
  for (let from = 0; from < items.length; from += sortedAtOnce) {
    runs.push(items.slice(from, from + sortedAtOnce).toSorted(compare));
    yield;
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let at = 0; at < runs.length; at += 2)
      merged.push(yield* mergedRuns([runs[at] ?? [], runs[at + 1] ?? []], compare));
    runs = merged;
  }
  return runs[0] ?? [];
}

function* mergedRuns<T>([left, right]: [T[], T[]], compare: (a: T, b: T) => number): Sliced<T[]> {
  const merged: T[] = [];
  let [i, j] = [0, 0];
  for (;;) {
    const [a, b] = [left[i], right[j]];
    if (a === undefined) return [...merged, ...right.slice(j)];
    if (b === undefined) return [...merged, ...left.slice(i)];
    if (compare(a, b) <= 0) {
      merged.push(a);
      i++;
    } else {
      merged.push(b);
      j++;
    }
    if (merged.length % sortedAtOnce === 0) yield;
  }
}
