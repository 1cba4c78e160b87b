// `PATCH /v1/workloads/:customer/:name`. Pure.
import { Check, Errors } from 'typebox/value';
import { WorkloadSpec, type WorkloadPatch } from '../api/workloads.ts';
import { mergedWish } from './merge-patch.ts';

/** What is wanted then, or why that would be nothing whole: a patch of a part may leave something out that must be there. */
export function patchedSpec(spec: WorkloadSpec, patch: WorkloadPatch): WorkloadSpec | { refused: string } {
  const next: unknown = mergedWish(spec, patch);
  if (Check(WorkloadSpec, next)) return next;
  const faults = Errors(WorkloadSpec, next).map(({ instancePath, message }) => `"${instancePath.slice(1)}" ${message}`);
  return { refused: `cannot change it like that: ${faults[0] ?? 'nothing whole is left'}` };
}
