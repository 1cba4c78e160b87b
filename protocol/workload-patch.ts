// `PATCH /v1/workloads/:customer/:name`: what it does not name stays; null takes something away (RFC 7396). Pure.
import { Check, Errors } from 'typebox/value';
import { WorkloadSpec, type WorkloadPatch } from './api/workloads.ts';

/** What is wanted then, or why that would be nothing whole: a patch of a part may leave something out that must be there. */
export function patchedSpec(spec: WorkloadSpec, patch: WorkloadPatch): WorkloadSpec | { refused: string } {
  const { env, ...rest } = merged(spec, { patch, depth: 2 });
  // An environment of which nothing is left is none.
  const next: unknown = isRecord(env) && Object.keys(env).length > 0 ? { ...rest, env } : rest;
  if (Check(WorkloadSpec, next)) return next;
  const faults = Errors(WorkloadSpec, next).map(({ instancePath, message }) => `"${instancePath.slice(1)}" ${message}`);
  return { refused: `cannot change it like that: ${faults[0] ?? 'nothing whole is left'}` };
}

/**
 * As RFC 7396 merges, two levels deep: field by field, and in a field variable by variable or whatever it has by name. What is
 * below that is one thing, and half of the old with half of the new is none. A name may be `__proto__`: nothing is set by it.
 */
function merged(
  target: unknown,
  { patch, depth }: { patch: Readonly<Record<string, unknown>>; depth: number },
): Record<string, unknown> {
  const fields = new Map<string, unknown>(isRecord(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) fields.delete(name);
    else
      fields.set(
        name,
        isRecord(value) && depth > 1 ? merged(fields.get(name), { patch: value, depth: depth - 1 }) : value,
      );
  }
  return Object.fromEntries(fields);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
