/** Waits that double up to `mostMs`, each somewhere between half and the whole of it, so that a rack does not knock at once. */
export function backoffMs(attempt: number, { firstMs, mostMs, random }: Backoff): number {
  const wholeMs = Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 30));
  return wholeMs * (0.5 + random() / 2);
}

export interface Backoff {
  firstMs: number;
  mostMs: number;
  /** 0 to 1. */
  random: () => number;
}
