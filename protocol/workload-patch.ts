// `PATCH /v1/workloads/:customer/:name`: what it does not name stays; null takes something away (RFC 7396). Pure.
import { checkNames } from './workload/checks.ts';
import type { WorkloadPatch, WorkloadSpec } from './api/workloads.ts';

export function patchedSpec(spec: WorkloadSpec, patch: WorkloadPatch): WorkloadSpec {
  const next: WorkloadSpec = { image: patch.image ?? spec.image, replicas: patch.replicas ?? spec.replicas };
  const command = named(patch.command, spec.command);
  const env = patchedEnv(spec.env, patch.env);
  const port = named(patch.port, spec.port);
  const memoryBytes = named(patch.memoryBytes, spec.memoryBytes);
  const cpu = named(patch.cpu, spec.cpu);
  const processes = named(patch.processes, spec.processes);
  const update =
    patch.update === null ? undefined : ((patch.update && { ...spec.update, ...patch.update }) ?? spec.update);
  const placement = named(patch.placement, spec.placement);
  const checks = patchedChecks(spec.checks, patch.checks);
  if (command !== undefined) next.command = command;
  if (env !== undefined) next.env = env;
  if (port !== undefined) next.port = port;
  if (memoryBytes !== undefined) next.memoryBytes = memoryBytes;
  if (cpu !== undefined) next.cpu = cpu;
  if (processes !== undefined) next.processes = processes;
  if (checks !== undefined) next.checks = checks;
  if (update !== undefined) next.update = update;
  if (placement !== undefined) next.placement = placement;
  return next;
}

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

function named<T>(patch: T | null | undefined, before: T | undefined): T | undefined {
  return patch === undefined ? before : (patch ?? undefined);
}

function patchedEnv(before: WorkloadSpec['env'], patch: WorkloadPatch['env']): WorkloadSpec['env'] {
  if (patch === undefined) return before;
  const next: Record<string, string> = {};
  for (const [name, value] of Object.entries(patch === null ? {} : { ...before, ...patch }))
    if (value !== null) next[name] = value;
  return Object.keys(next).length === 0 ? undefined : next;
}
