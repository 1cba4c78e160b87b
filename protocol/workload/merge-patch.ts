// A merge patch (RFC 7396) of what is wanted of a workload: what it does not name stays, null takes something away. Pure, and
// without the schemas: the command line has no time to load them.
import type { WorkloadPatch, WorkloadSpec } from '../api/workloads.ts';

/** What is wanted then. Whether that is something whole is for its schema to say. */
export function mergedWish(spec: WorkloadSpec, patch: WorkloadPatch): Record<string, unknown> {
  const { env, ...rest } = merged(spec, { patch, byName: namedParts });
  // An environment of which nothing is left is none. No check at all is another wish than the defaults.
  return isRecord(env) && Object.keys(env).length > 0 ? { ...rest, env } : rest;
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
