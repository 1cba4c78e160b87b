// `PATCH /v1/workloads/:customer/:name`: what it does not name stays; null takes something away (RFC 7396).
import { Type, type Static } from 'typebox';
import { WorkloadSpec } from './api/workloads.ts';

const { image, command, port, memoryBytes, cpu, processes } = WorkloadSpec.properties;
const Removal = Type.Null();

export const WorkloadPatch = Type.Object(
  {
    image: Type.Optional(image),
    // Without the default that a new workload has.
    replicas: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    /** Null: the image's own. */
    command: Type.Optional(Type.Union([command, Removal])),
    /** Variable by variable: null takes one away, and null instead of all takes all away. */
    env: Type.Optional(
      Type.Union([
        Type.Record(
          Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }),
          Type.Union([Type.String({ maxLength: 4096 }), Removal]),
        ),
        Removal,
      ]),
    ),
    port: Type.Optional(Type.Union([port, Removal])),
    /** Null, here and below: the default. */
    memoryBytes: Type.Optional(Type.Union([memoryBytes, Removal])),
    cpu: Type.Optional(Type.Union([cpu, Removal])),
    processes: Type.Optional(Type.Union([processes, Removal])),
  },
  { additionalProperties: false },
);
export type WorkloadPatch = Static<typeof WorkloadPatch>;

export function patchedSpec(spec: WorkloadSpec, patch: WorkloadPatch): WorkloadSpec {
  const next: WorkloadSpec = { image: patch.image ?? spec.image, replicas: patch.replicas ?? spec.replicas };
  const command = named(patch.command, spec.command);
  const env = patchedEnv(spec.env, patch.env);
  const port = named(patch.port, spec.port);
  const memoryBytes = named(patch.memoryBytes, spec.memoryBytes);
  const cpu = named(patch.cpu, spec.cpu);
  const processes = named(patch.processes, spec.processes);
  if (command !== undefined) next.command = command;
  if (env !== undefined) next.env = env;
  if (port !== undefined) next.port = port;
  if (memoryBytes !== undefined) next.memoryBytes = memoryBytes;
  if (cpu !== undefined) next.cpu = cpu;
  if (processes !== undefined) next.processes = processes;
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
