// How a change of a workload reaches its instances, with the defaults that lose no request. Pure.
import type { WorkloadSpec } from '../api/workloads.ts';

export interface FilledUpdate {
  maxSurge: number;
  /** Undefined: none, but for one where there is no place for one more. */
  maxUnavailable: number | undefined;
  deadlineMs: number;
  drainMs: number;
}

const defaults = { maxSurge: 1, deadlineMs: 180_000 };
/** Who sends traffic to instances must hear within this that one is not ready any more. */
const drainMs = 5_000;

export function filledUpdate({ update = {}, port }: Pick<WorkloadSpec, 'update' | 'port'>): FilledUpdate {
  return {
    maxSurge: update.maxSurge ?? defaults.maxSurge,
    maxUnavailable: update.maxUnavailable,
    deadlineMs: update.deadlineMs ?? defaults.deadlineMs,
    drainMs: update.drainMs ?? (port === undefined ? 0 : drainMs),
  };
}

/** Why nothing could ever be changed so, in words; undefined where it could. */
export function updateProblem(update: WorkloadSpec['update']): string | undefined {
  return update?.maxSurge === 0 && update.maxUnavailable === 0
    ? 'its update allows neither one more (maxSurge) nor one less (maxUnavailable), want 1 or more of one of them'
    : undefined;
}
