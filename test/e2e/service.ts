// How a test looks at a customer's service: whether it answers, and whether it ever stopped.
import type { VirtualRack } from '../qemu/rack.ts';
import { until } from '../until.ts';

export async function answers(rack: VirtualRack, url: string): Promise<boolean> {
  return rack.fetch(url, { timeoutMs: 3_000 }).then(
    ({ status }) => status === 200,
    () => false,
  );
}

/** Waits for the thing itself. Throws when it has not come true in time. */
export interface Watch extends AsyncDisposable {
  /** What did not answer, and when. */
  failures: string[];
  /** Resolves after one more whole round of questions. */
  next(): Promise<void>;
}

/** Asks each service again and again, and keeps every failure. */
export function watchService(rack: VirtualRack, urls: string[]): Watch {
  const failures: string[] = [];
  let rounds = 0;
  let watching = true;
  const loop = (async () => {
    while (watching) {
      for (const url of urls)
        await rack
          .fetch(url, { timeoutMs: 5_000 })
          .catch((error: unknown) => failures.push(`${url}: ${String(error)}`));
      rounds++;
    }
  })();
  return {
    failures,
    next: async () => {
      const wanted = rounds + 2;
      await until('another round of questions', () => rounds >= wanted, { withinMs: 120_000, everyMs: 100 });
    },
    [Symbol.asyncDispose]: async () => {
      watching = false;
      await loop;
    },
  };
}
