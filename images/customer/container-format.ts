/**
 * The JSON documents of container images, both families: OCI (`index.json`, manifests, configurations, all by digest) and
 * `docker save` (`manifest.json`). Parsed by schema; what we do not use is left alone.
 */
import { Type, type Static, type TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import type { ImageConfig } from '../../protocol/api/images.ts';
import { userLimit } from '../../protocol/container/container-user.ts';
import { stopSignalNumber } from '../../protocol/container/stop-signal.ts';

const nullable = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
/** What of it a board can be asked to run is told by `protocol/desired-state.ts`, in words. */
const Strings = Type.Array(Type.String());
/** An entry that nobody asked for may have one of another algorithm. */
const Digest = Type.String({ maxLength: 200 });
/** Keys whose values mean nothing: `{"80/tcp": {}}`. */
const KeySet = Type.Record(Type.String(), Type.Unknown());
const Nanoseconds = Type.Integer({ minimum: 0 });

export const Descriptor = Type.Object({
  mediaType: Type.Optional(Type.String()),
  digest: Digest,
  size: Type.Integer({ minimum: 0 }),
  annotations: nullable(Type.Record(Type.String(), Type.Unknown())),
  platform: nullable(
    Type.Object({
      architecture: nullable(Type.String()),
      os: nullable(Type.String()),
      variant: nullable(Type.String()),
    }),
  ),
});
export type Descriptor = Static<typeof Descriptor>;

export const Index = Type.Object({ manifests: Type.Array(Descriptor, { maxItems: 256 }) });
export const Manifest = Type.Object({ config: Descriptor, layers: Type.Array(Descriptor, { maxItems: 256 }) });

/** Of a manifest's configuration, where the manifest is an image's. */
export const imageConfigTypes: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);

/** What an index's entry of that media type leads to; an unknown one is none of ours, and no error (image-index.md). */
export function manifestKind(mediaType: string | undefined): 'index' | 'manifest' | 'other' {
  switch (mediaType) {
    case 'application/vnd.oci.image.index.v1+json':
    case 'application/vnd.docker.distribution.manifest.list.v2+json':
      return 'index';
    case undefined: // It is required, and was often left out.
    case 'application/vnd.oci.image.manifest.v1+json':
    case 'application/vnd.docker.distribution.manifest.v2+json':
      return 'manifest';
    default:
      return 'other';
  }
}

export const DockerManifest = Type.Array(
  Type.Object({
    Config: Type.String({ maxLength: 300 }),
    RepoTags: nullable(Type.Array(Type.String())),
    Layers: Type.Array(Type.String({ maxLength: 300 }), { maxItems: 256 }),
  }),
  { minItems: 1, maxItems: 64 },
);

/** config.md of the image-spec; `Healthcheck` and its like are docker's, and everywhere. Unknown keys are left alone. */
export const Configuration = Type.Object({
  architecture: nullable(Type.String()),
  os: nullable(Type.String()),
  variant: nullable(Type.String()),
  config: nullable(
    Type.Object({
      Entrypoint: nullable(Strings),
      Cmd: nullable(Strings),
      Env: nullable(Strings),
      WorkingDir: nullable(Type.String()),
      User: nullable(Type.String({ maxLength: userLimit })),
      StopSignal: nullable(Type.String()),
      Volumes: nullable(KeySet),
      ExposedPorts: nullable(KeySet),
      Labels: nullable(Type.Record(Type.String(), Type.String())),
      Healthcheck: nullable(
        Type.Object({
          Test: nullable(Strings),
          Interval: nullable(Nanoseconds),
          Timeout: nullable(Nanoseconds),
          StartPeriod: nullable(Nanoseconds),
          StartInterval: nullable(Nanoseconds),
          Retries: nullable(Type.Integer({ minimum: 0 })),
        }),
      ),
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

/** How to run it. Throws which key is not as wanted. */
export function runSettings(configuration: Configuration): ImageConfig {
  const { Entrypoint, Cmd, Env, WorkingDir, User, StopSignal, Volumes, ExposedPorts, Labels, Healthcheck } =
    configuration.config ?? {};
  const workingDir = WorkingDir === undefined || WorkingDir === null || WorkingDir === '' ? '/' : WorkingDir;
  const settings: ImageConfig = {
    entrypoint: Entrypoint ?? [],
    cmd: Cmd ?? [],
    env: Env ?? [],
    workingDir: workingDir.startsWith('/') ? workingDir : `/${workingDir}`,
    user: User ?? '',
  };
  if (typeof StopSignal === 'string' && StopSignal !== '') settings.stopSignal = signalName(StopSignal);
  const volumes = Object.keys(Volumes ?? {});
  if (volumes.length > 0) settings.volumes = bounded(volumes, 'Volumes');
  const exposedPorts = Object.keys(ExposedPorts ?? {});
  if (exposedPorts.length > 0) settings.exposedPorts = bounded(exposedPorts, 'ExposedPorts');
  const labels = Object.entries(Labels ?? {});
  if (labels.length > 0) {
    bounded(labels.flat(), 'Labels');
    settings.labels = Object.fromEntries(labels);
  }
  // An empty one is the base image's, which no longer is known; `NONE` says that there is none.
  const test = Healthcheck?.Test ?? [];
  if (test.length > 0 && test[0] !== 'NONE') settings.healthcheck = healthcheckOf(Healthcheck ?? {}, test);
  return settings;
}

type Healthcheck = NonNullable<NonNullable<Configuration['config']>['Healthcheck']>;

/** A time of 0 is docker's word for its default. */
function healthcheckOf(own: Healthcheck, test: string[]): NonNullable<ImageConfig['healthcheck']> {
  const [kind] = test;
  if (kind !== 'CMD' && kind !== 'CMD-SHELL')
    throw new Error(
      `cannot use its Healthcheck: Test begins with ${JSON.stringify(kind)}, want CMD, CMD-SHELL or NONE`,
    );
  const ms = (nanoseconds: number | null | undefined): number => Math.round((nanoseconds ?? 0) / 1e6);
  return {
    test: bounded(test, 'Healthcheck'),
    ...(ms(own.Interval) > 0 ? { intervalMs: ms(own.Interval) } : {}),
    ...(ms(own.Timeout) > 0 ? { timeoutMs: ms(own.Timeout) } : {}),
    ...(ms(own.StartPeriod) > 0 ? { startPeriodMs: ms(own.StartPeriod) } : {}),
    ...(ms(own.StartInterval) > 0 ? { startIntervalMs: ms(own.StartInterval) } : {}),
    ...((own.Retries ?? 0) > 0 ? { retries: own.Retries ?? 0 } : {}),
  };
}

/** Each is in every document of the image, and of the workloads that use it. */
const listBytesLimit = 32 * 1024;

function bounded(texts: string[], key: string): string[] {
  const bytes = Buffer.byteLength(JSON.stringify(texts));
  if (bytes > listBytesLimit)
    throw new Error(
      `cannot use its ${key}: ${bytes} bytes, want at most ${listBytesLimit}; put such data into a file of the image`,
    );
  return texts;
}

/** `SIGTERM`, `term` and `15` are all written; the first is what we keep of a name, and a number stays one. */
function signalName(text: string): string {
  const upper = text.trim().toUpperCase();
  if (stopSignalNumber(upper) === undefined)
    throw new Error(`cannot use its StopSignal: it is ${JSON.stringify(text.slice(0, 40))}, want one as SIGTERM or 15`);
  return upper.startsWith('SIG') || /^[0-9]/.test(upper) ? upper : `SIG${upper}`;
}
