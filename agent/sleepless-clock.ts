// The clock that permits are counted on. Node's own, CLOCK_MONOTONIC, stands still while a board is suspended: a permit would
// come out of a night as fresh as it went in, and the leash, which counts by /proc/uptime, would be told so.
/** Finer differences are the rounding of /proc/uptime. */
const noticeableMs = 50;

/** Monotonic ms that go on during a suspend; how far it went is seen when it is asked next. */
export function sleeplessClock({ monotonicMs, uptimeSeconds }: Record<'monotonicMs' | 'uptimeSeconds', () => number>) {
  const aheadMs = uptimeSeconds() * 1_000 - monotonicMs();
  let sleptMs = 0;
  return (): number => {
    const nowMs = monotonicMs();
    const allMs = uptimeSeconds() * 1_000 - nowMs - aheadMs;
    if (allMs > sleptMs + noticeableMs) sleptMs = allMs;
    return nowMs + sleptMs;
  };
}
