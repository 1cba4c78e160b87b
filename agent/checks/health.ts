// What follows from how checks of one run of an instance went: pure.
//
//   starting ─ start holds ─► ready ⇄ not ready        live or start fails ─► restart
//
// Without a start check it has started when it runs; without a ready check it is ready when it has started.
import { checkNames, checkText, type CheckName } from '../../protocol/workload/checks.ts';
import type { FilledChecks } from '../../protocol/workload/check-schemas.ts';

interface Streak {
  /** In a row, the last one included; one of the two is 0. */
  failures: number;
  successes: number;
  hasHeld: boolean;
}

export interface Health {
  readonly checks: FilledChecks;
  readonly started: boolean;
  readonly ready: boolean;
  /** What the last check that counts against it met; empty where nothing does. */
  readonly reason: string;
  /** Set when it must be restarted: why, in words. */
  readonly restart: string | undefined;
  readonly streaks: Readonly<Record<CheckName, Streak>>;
}

const fresh: Streak = { failures: 0, successes: 0, hasHeld: false };

/** `adopted`: it ran before this agent did, so it is as it was until a check says otherwise. */
export function newHealth(checks: FilledChecks, { adopted = false } = {}): Health {
  const started = adopted || checks.start === undefined;
  const ready = started && (adopted || checks.ready === undefined);
  const reason = ready ? '' : started ? 'waits for its first check' : 'waits for its start check';
  const streak = { ...fresh, hasHeld: adopted };
  return {
    checks,
    started,
    ready,
    reason,
    restart: undefined,
    streaks: { start: streak, ready: streak, live: streak },
  };
}

/** Which checks are asked now: until it has started only whether it has. */
export function askedNow({ checks, started, restart }: Health): CheckName[] {
  if (restart !== undefined) return [];
  return checkNames.filter((name) => checks[name] !== undefined && (name === 'start') === !started);
}

/** `failure`: why a check did not hold, undefined where it did. */
export function afterCheck(
  health: Health,
  { name, failure }: { name: CheckName; failure: string | undefined },
): Health {
  const check = health.checks[name];
  if (check === undefined || !askedNow(health).includes(name)) return health;
  const before = health.streaks[name];
  const holds = failure === undefined;
  const streak: Streak = holds
    ? { failures: 0, successes: before.successes + 1, hasHeld: true }
    : { failures: before.failures + 1, successes: 0, hasHeld: before.hasHeld };
  const next = { ...health, streaks: { ...health.streaks, [name]: streak } };
  const enough = holds ? streak.successes >= check.successes : streak.failures >= check.failures;
  const said = holds ? '' : `${checkText(check)}: ${failure}`;
  if (name === 'ready') {
    if (enough) return { ...next, ready: holds, reason: said };
    return health.ready || holds ? next : { ...next, reason: said };
  }
  if (name === 'start' && holds && enough) {
    const ready = health.checks.ready === undefined;
    return { ...next, started: true, ready, reason: ready ? '' : 'waits for its first check' };
  }
  if (!holds && enough) {
    const why = name === 'live' ? 'is not live any more' : 'did not start in time';
    return { ...next, ready: false, reason: said, restart: `${why}: ${said}` };
  }
  return name === 'start' && !holds ? { ...next, reason: said } : next;
}
