// `PATCH /v1/workloads/:customer/:name`: what it does not name stays; null takes something away (RFC 7396). Pure.
import { Check, Errors } from 'typebox/value';
import { WorkloadSpec, type WorkloadPatch } from './api/workloads.ts';
import { checkNames } from './workload/checks.ts';

/** What is wanted then, or why that would be nothing whole: a patch of a part may leave something out that must be there. */
export function patchedSpec(spec: WorkloadSpec, patch: WorkloadPatch): WorkloadSpec | { refused: string } {
  const { checks: checksBefore, placement: placementBefore, ...before } = spec;
  const { checks: checksPatch, placement: placementPatch, ...rest } = patch;
  const checks = patchedChecks(checksBefore, checksPatch);
  const placement = placementPatch === undefined ? placementBefore : placementPatch;
  const whole = {
    ...Object(merged(before, rest)),
    ...(checks !== undefined && { checks }),
    ...(placement != null && { placement }),
  };
  if (Check(WorkloadSpec, whole)) return whole;
  const faults = Errors(WorkloadSpec, whole).map(
    ({ instancePath, message }) => `"${instancePath.slice(1)}" ${message}`,
  );
  return { refused: `cannot change it like that: ${faults[0] ?? 'nothing whole is left'}` };
}

/** A check is one whole; none at all is another wish than the defaults. */
function patchedChecks(before: WorkloadSpec['checks'], patch: WorkloadPatch['checks']): WorkloadSpec['checks'] {
  if (patch === undefined) return before;
  if (patch === null) return undefined;
  const next: NonNullable<WorkloadSpec['checks']> = {};
  for (const name of checkNames) {
    const check = patch[name] === undefined ? before?.[name] : patch[name];
    if (check != null) next[name] = check;
  }
  return next;
}

/** As RFC 7396 merges; an object of which nothing is left is no more. A name may be `__proto__`: nothing is set by it. */
function merged(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const fields = new Map<string, unknown>(isRecord(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    const next = value === null ? undefined : merged(fields.get(name), value);
    if (next === undefined) fields.delete(name);
    else fields.set(name, next);
  }
  return fields.size === 0 ? undefined : Object.fromEntries(fields);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
