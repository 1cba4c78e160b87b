// `PATCH /v1/workloads/:customer/:name`: what it does not name stays; null takes something away (RFC 7396). Pure.
import { Check, Errors } from 'typebox/value';
import { WorkloadSpec, type WorkloadPatch } from './api/workloads.ts';

/** What is wanted then, or why that would be nothing whole: a patch of a part may leave something out that must be there. */
export function patchedSpec(spec: WorkloadSpec, patch: WorkloadPatch): WorkloadSpec | { refused: string } {
  const { env, ...rest } = merged(spec, { patch, byName: namedParts });
  // An environment of which nothing is left is none. No check at all is another wish than the defaults.
  const next: unknown = isRecord(env) && Object.keys(env).length > 0 ? { ...rest, env } : rest;
  if (Check(WorkloadSpec, next)) return next;
  const faults = Errors(WorkloadSpec, next).map(({ instancePath, message }) => `"${instancePath.slice(1)}" ${message}`);
  return { refused: `cannot change it like that: ${faults[0] ?? 'nothing whole is left'}` };
}

/** Fields of which a patch may change one part: variable by variable, check by check. Any other is one thing. */
const namedParts: ReadonlySet<string> = new Set(['env', 'checks', 'update']);
const none: ReadonlySet<string> = new Set();

/**
 * As RFC 7396 merges, but not below what has a name: half of an old check with half of a new one is none. A name may be
 * `__proto__`: nothing is set by it.
 */
function merged(
  target: unknown,
  { patch, byName }: { patch: Readonly<Record<string, unknown>>; byName: ReadonlySet<string> },
): Record<string, unknown> {
  const fields = new Map<string, unknown>(isRecord(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) fields.delete(name);
    else if (isRecord(value) && byName.has(name))
      fields.set(name, merged(fields.get(name), { patch: value, byName: none }));
    else fields.set(name, value);
  }
  return Object.fromEntries(fields);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
