// When the scheduler runs: soon after something changed, and when it is time for what only time changes.
import { setImmediate as realNextTurn } from 'node:timers/promises';
import type { Inventory } from '../inventory/inventory.ts';
import { execute } from './execute.ts';
import { planInSlices } from './plan.ts';
import { inSlices, type SliceOptions } from '../inventory/slices.ts';
import { Touched } from './touched.ts';
import { readWorld } from './world.ts';

/** Changes that come within this long are planned for together. */
const coalesceMs = 100;
/** Between two looks at the clock, and before a plan that was not carried out is made anew. */
const longestPauseMs = 1_000;

/** `onFailure` hears of plans that could not be stored; the next pass plans anew. Disposing waits for a pass under way. */
export function startScheduler({
  inventory,
  onFailure,
  now = Date.now,
  clock = () => performance.now(),
  nextTurn = realNextTurn,
}: {
  inventory: Inventory;
  onFailure: (error: unknown) => void;
  /** Milliseconds since 1970. */
  now?: () => number;
} & Partial<SliceOptions>): AsyncDisposable {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  /** Since the picture that the last plan was made of. */
  const touched = new Touched();
  let isChanged = false;
  let dueAt = 0;
  let stopped = false;

  async function pass(): Promise<void> {
    isChanged = false;
    touched.clear();
    // Where it comes to nothing, on a full disk for one, nothing will have changed either: then time alone brings it again.
    dueAt = 0;
    try {
      const planned = await inSlices(planInSlices(readWorld(inventory), now()), { nextTurn, clock });
      const isDone = await execute(inventory, { ...planned, still: (steps) => touched.without(steps, inventory) });
      if (isDone) dueAt = planned.dueAt;
    } catch (error) {
      onFailure(error);
    }
  }

  function startIn(delayMs: number): void {
    clearTimeout(timer);
    if (stopped) return;
    timer = setTimeout(() => {
      if (!isChanged && now() < dueAt) return startIn(longestPauseMs);
      running = pass().finally(() => {
        running = undefined;
        startIn(isChanged ? coalesceMs : longestPauseMs);
      });
      return undefined;
    }, delayMs);
  }

  const unsubscribe = inventory.subscribe((change) => {
    if (!touched.note(change) || isChanged) return;
    isChanged = true;
    if (running === undefined) startIn(coalesceMs);
  });
  startIn(0);
  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      unsubscribe();
      clearTimeout(timer);
      await running;
    },
  };
}
