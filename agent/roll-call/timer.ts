import type { Machine } from '../machine.ts';

/** One call at a time: set again, it replaces the one that was due. */
export interface Timer {
  set: (callback: () => void, ms: number) => void;
  isSet: () => boolean;
  cancel: () => void;
}

export function newTimer(machine: Pick<Machine, 'later'>): Timer {
  let unset: (() => void) | undefined;
  function cancel(): void {
    unset?.();
    unset = undefined;
  }
  return {
    set(callback, ms) {
      cancel();
      unset = machine.later(() => {
        unset = undefined;
        callback();
      }, ms);
    },
    isSet: () => unset !== undefined,
    cancel,
  };
}
