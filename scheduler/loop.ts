// When the scheduler runs: soon after something changed, and once a second for what only time changes.
import type { Inventory } from '../inventory/inventory.ts';
import { execute } from './execute.ts';
import { plan } from './plan.ts';
import { readWorld } from './world.ts';

/** Changes that come within this long are planned for together. */
const coalesceMs = 100;
const longestPauseMs = 1_000;

/** `onFailure` hears of plans that could not be stored; the next pass plans anew. Disposing waits for a pass under way. */
export function startScheduler({
  inventory,
  onFailure,
  now = Date.now,
}: {
  inventory: Inventory;
  onFailure: (error: unknown) => void;
  /** Milliseconds since 1970. */
  now?: () => number;
}): AsyncDisposable {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let changed = false;
  let stopped = false;

  async function pass(): Promise<void> {
    changed = false;
    try {
      await execute(inventory, plan(readWorld(inventory), now()));
    } catch (error) {
      onFailure(error);
    }
  }

  function startIn(delayMs: number): void {
    clearTimeout(timer);
    if (stopped) return;
    timer = setTimeout(() => {
      running = pass().finally(() => {
        running = undefined;
        startIn(changed ? coalesceMs : longestPauseMs);
      });
    }, delayMs);
  }

  const unsubscribe = inventory.subscribe(({ kind }) => {
    if (kind === 'event' || kind === 'image' || kind === 'drill' || changed) return;
    changed = true;
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
