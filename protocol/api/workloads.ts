import { Type, type Static } from 'typebox';
import { OnSilence } from './customers.ts';
import { CustomerName, ImageName, Instant, WorkloadName, closed } from './fields.ts';

const EnvironmentVariables = Type.Record(
  Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }),
  Type.String({ maxLength: 4096 }),
);

/** What a customer wants. `PUT` it again to change it: instances are replaced. */
export const WorkloadSpec = Type.Object(
  {
    image: ImageName,
    replicas: Type.Integer({ minimum: 0, maximum: 10_000, default: 1 }),
    command: Type.Optional(Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 64 })),
    env: Type.Optional(EnvironmentVariables),
    /** A port in the container; each instance gets a port of its node for it. */
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    memoryBytes: Type.Optional(Type.Integer({ minimum: 4 * 2 ** 20, maximum: 2 ** 40 })),
    /** Cores, 0.05 and up. */
    cpu: Type.Optional(Type.Number({ minimum: 0.05, maximum: 256 })),
    processes: Type.Optional(Type.Integer({ minimum: 1, maximum: 32_768 })),
  },
  closed,
);
export type WorkloadSpec = Static<typeof WorkloadSpec>;

export const Workload = Type.Object({
  customer: CustomerName,
  name: WorkloadName,
  image: ImageName,
  replicas: Type.Integer(),
  command: Type.Union([Type.Array(Type.String()), Type.Null()]),
  /** Names only: values may be secrets. */
  env: Type.Array(Type.String()),
  port: Type.Union([Type.Integer(), Type.Null()]),
  memoryBytes: Type.Integer(),
  cpu: Type.Number(),
  processes: Type.Integer(),
  /** Its customer's. */
  onSilence: OnSilence,
  createdAt: Instant,
  running: Type.Integer(),
  /** Of those that run: how many do as it was last changed. A change is through when all do and no other is left. */
  updated: Type.Integer(),
  /** What keeps it from running as wanted, in words; empty when nothing does. */
  problem: Type.String(),
});
export type Workload = Static<typeof Workload>;
