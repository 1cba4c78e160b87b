// How tests wait: for the thing itself, with a generous bound.
import { setTimeout as delay } from 'node:timers/promises';

/** Throws what was waited for, and `detail`, when it does not come true. */
// oxlint-disable-next-line max-params -- reads as a sentence wherever it is: until what, which holds when, within how long
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { withinMs = 30_000, everyMs = 10, detail }: { withinMs?: number; everyMs?: number; detail?: () => string } = {},
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline)
      throw new Error(`waited ${withinMs / 1000} s in vain: ${what}${detail === undefined ? '' : `; ${detail()}`}`);
    await delay(everyMs);
  }
}
