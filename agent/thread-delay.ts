import { monitorEventLoopDelay } from 'node:perf_hooks';

const resolutionMs = 20;

export interface ThreadDelay extends Disposable {
  /** How long this thread was held up at most since it was asked last, ms. */
  worstMs: () => number;
}

export function watchThreadDelay(): ThreadDelay {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  return {
    worstMs() {
      const worstMs = Math.max(0, delay.max / 1e6 - resolutionMs);
      delay.reset();
      return worstMs;
    },
    [Symbol.dispose]() {
      delay.disable();
    },
  };
}
