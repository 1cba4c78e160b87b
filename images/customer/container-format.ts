/**
 * The JSON documents of container images, both families: OCI (`index.json`, manifests, configurations, all by digest) and
 * `docker save` (`manifest.json`). Parsed by schema; what we do not use is left alone.
 */
import { Type, type Static, type TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import type { ImageConfig } from '../../protocol/api/images.ts';
import { userLimit } from '../../protocol/container/container-user.ts';

const nullable = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
/** What of it a board can be asked to run is told by `protocol/desired-state.ts`, in words. */
const Strings = Type.Array(Type.String());
const Digest = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' });

export const Descriptor = Type.Object({
  mediaType: Type.Optional(Type.String()),
  digest: Digest,
  size: Type.Integer({ minimum: 0 }),
  annotations: nullable(Type.Record(Type.String(), Type.String())),
  platform: nullable(
    Type.Object({
      architecture: Type.Optional(Type.String()),
      os: Type.Optional(Type.String()),
      variant: Type.Optional(Type.String()),
    }),
  ),
});
export type Descriptor = Static<typeof Descriptor>;

export const Index = Type.Object({ manifests: Type.Array(Descriptor, { maxItems: 256 }) });
export const Manifest = Type.Object({ config: Descriptor, layers: Type.Array(Descriptor, { maxItems: 256 }) });

export const DockerManifest = Type.Array(
  Type.Object({
    Config: Type.String({ maxLength: 300 }),
    RepoTags: nullable(Type.Array(Type.String())),
    Layers: Type.Array(Type.String({ maxLength: 300 }), { maxItems: 256 }),
  }),
  { minItems: 1, maxItems: 64 },
);

export const Configuration = Type.Object({
  architecture: Type.String(),
  os: Type.String(),
  config: nullable(
    Type.Object({
      Entrypoint: nullable(Strings),
      Cmd: nullable(Strings),
      Env: nullable(Strings),
      WorkingDir: nullable(Type.String()),
      User: nullable(Type.String({ maxLength: userLimit })),
      StopSignal: nullable(Type.String({ maxLength: 32 })),
    }),
  ),
  rootfs: Type.Object({ diff_ids: Type.Array(Digest, { maxItems: 256 }) }),
});
export type Configuration = Static<typeof Configuration>;

/** Reads one document. Throws where in it something is not as wanted. */
export function parseDocument<T extends TSchema>(options: { schema: T; bytes: Buffer; what: string }): Static<T> {
  const { schema, bytes, what } = options;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new Error(`cannot read ${what}: it is not JSON`, { cause });
  }
  if (Check(schema, value)) return value;
  const first = Errors(schema, value)[0];
  throw new Error(`cannot read ${what}: ${first?.instancePath ?? ''} ${first?.message ?? 'is not as wanted'}`);
}

/** How to run it. */
export function runSettings(configuration: Configuration): ImageConfig {
  const { Entrypoint, Cmd, Env, WorkingDir, User, StopSignal } = configuration.config ?? {};
  const workingDir = WorkingDir === undefined || WorkingDir === null || WorkingDir === '' ? '/' : WorkingDir;
  return {
    entrypoint: Entrypoint ?? [],
    cmd: Cmd ?? [],
    env: Env ?? [],
    workingDir: workingDir.startsWith('/') ? workingDir : `/${workingDir}`,
    user: User ?? '',
    ...(StopSignal ? { stopSignal: StopSignal } : {}),
  };
}
