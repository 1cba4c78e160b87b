// A real store before which a test may close the gate: nothing else about it is made up.
import type { Store } from './store.ts';

/** `gate` is waited for before each transaction; where it throws, the store never hears of the change. */
export function gatedStore(store: Store, gate: () => Promise<void>): Store {
  return {
    get: (key) => store.get(key),
    list: (prefix) => store.list(prefix),
    watch: (watch) => store.watch(watch),
    skipTo: (revision) => store.skipTo(revision),
    copyTo: (file) => store.copyTo(file),
    transact: async (writes) => {
      await gate();
      return store.transact(writes);
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
