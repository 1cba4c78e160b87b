// `PATCH /v1/workloads/:customer/:name`: what it does not name stays; null takes something away (RFC 7396). Pure.
import type { WorkloadPatch, WorkloadSpec } from './api/workloads.ts';

export function patchedSpec(spec: WorkloadSpec, patch: WorkloadPatch): WorkloadSpec {
  const next: WorkloadSpec = { image: patch.image ?? spec.image, replicas: patch.replicas ?? spec.replicas };
  const command = named(patch.command, spec.command);
  const env = patchedEnv(spec.env, patch.env);
  const port = named(patch.port, spec.port);
  const memoryBytes = named(patch.memoryBytes, spec.memoryBytes);
  const cpu = named(patch.cpu, spec.cpu);
  const processes = named(patch.processes, spec.processes);
  const user = named(patch.user, spec.user);
  const capabilities = named(patch.capabilities, spec.capabilities);
  const stopSignal = named(patch.stopSignal, spec.stopSignal);
  const stopGraceMs = named(patch.stopGraceMs, spec.stopGraceMs);
  if (command !== undefined) next.command = command;
  if (env !== undefined) next.env = env;
  if (port !== undefined) next.port = port;
  if (memoryBytes !== undefined) next.memoryBytes = memoryBytes;
  if (cpu !== undefined) next.cpu = cpu;
  if (processes !== undefined) next.processes = processes;
  if (user !== undefined) next.user = user;
  if (capabilities !== undefined) next.capabilities = capabilities;
  if (stopSignal !== undefined) next.stopSignal = stopSignal;
  if (stopGraceMs !== undefined) next.stopGraceMs = stopGraceMs;
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
