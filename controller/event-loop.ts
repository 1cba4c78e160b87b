// How long the controller's event loop stands still. Permits have a thread of their own; orders, boots and screens wait for it,
// so each slow turn is a line in the log.
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Of the five seconds that an order has, it may wait so long before it is taken. */
const slowTurnMs = 200;
const lookMs = 1_000;
/** How often the delay is measured; it is part of what is measured. */
const resolutionMs = 20;

export interface EventLoopWatch extends Disposable {
  /** The longest of the last ten seconds, ms. */
  longestMs(): number;
}

export function watchEventLoop(onSlowTurn: (ms: number) => void): EventLoopWatch {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  const recent: number[] = [];
  const timer = setInterval(() => {
    const ms = Math.max(0, histogram.max / 1e6 - resolutionMs);
    histogram.reset();
    recent.push(ms);
    if (recent.length > 10) recent.shift();
    if (ms >= slowTurnMs) onSlowTurn(Math.round(ms));
  }, lookMs).unref();
  return {
    longestMs: () => Math.max(0, ...recent),
    [Symbol.dispose]: () => {
      clearInterval(timer);
      histogram.disable();
    },
  };
}
