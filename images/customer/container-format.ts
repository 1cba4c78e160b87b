/**
 * The JSON documents of container images, both families: OCI (`index.json`, manifests, configurations, all by digest) and
 * `docker save` (`manifest.json`). Parsed by schema; what we do not use is left alone.
 */
import { Type, type Static, type TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import type { ImageConfig } from '../../protocol/api/images.ts';

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
      User: nullable(Type.String({ maxLength: 256 })),
      // Docker's, which the OCI's specification names as reserved: durations in nanoseconds.
      Healthcheck: nullable(
        Type.Object({
          Test: nullable(Strings),
          Interval: nullable(Type.Number()),
          Timeout: nullable(Type.Number()),
          Retries: nullable(Type.Number()),
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

/** How to run it, but for the user, which takes the image's files to resolve. */
export function runSettings(configuration: Configuration): Omit<ImageConfig, 'user'> {
  const { Entrypoint, Cmd, Env, WorkingDir } = configuration.config ?? {};
  const workingDir = WorkingDir === undefined || WorkingDir === null || WorkingDir === '' ? '/' : WorkingDir;
  const healthcheck = healthcheckOf(configuration);
  return {
    entrypoint: Entrypoint ?? [],
    cmd: Cmd ?? [],
    env: Env ?? [],
    workingDir: workingDir.startsWith('/') ? workingDir : `/${workingDir}`,
    ...(healthcheck !== undefined && { healthcheck }),
  };
}

function healthcheckOf({ config }: Configuration): ImageConfig['healthcheck'] {
  const { Test, Interval, Timeout, Retries } = config?.Healthcheck ?? {};
  if (Test == null || Test.length === 0) return undefined;
  const milliseconds = (nanoseconds: number) => nanoseconds / 1e6;
  return {
    test: Test,
    ...(Interval != null && { intervalMs: milliseconds(Interval) }),
    ...(Timeout != null && { timeoutMs: milliseconds(Timeout) }),
    ...(Retries != null && { retries: Retries }),
  };
}

export interface Accounts {
  /** Content of the image's /etc/passwd and /etc/group, '' where it has none. */
  passwd: string;
  group: string;
}

// Each customer has 65,536 user ids; a larger one could not be mapped on a node.
const idLimit = 65_535;

/**
 * Resolves `user`, `user:group`, either as name or number, to `uid:gid` as docker does: no user is root, a user without a
 * group gets its own from /etc/passwd, a bare number that is not there gets group 0.
 */
export function resolveUser(user: string, { passwd, group }: Accounts): string {
  const [userPart = '', groupPart] = user.split(':', 2);
  const refuse = (why: string): Error => new Error(`cannot resolve user ${JSON.stringify(user)} of the image: ${why}`);
  const id = (digits: string | undefined): number => {
    if (digits === undefined || !/^[0-9]{1,10}$/.test(digits) || Number(digits) > idLimit) {
      throw refuse(`id ${JSON.stringify(digits ?? '')}, want 0 to ${idLimit}`);
    }
    return Number(digits);
  };
  const numeric = /^[0-9]+$/.test(userPart);
  const account = lines(passwd).find((fields) => (numeric ? fields[2] === userPart : fields[0] === userPart));
  let uid = 0;
  if (numeric) uid = id(userPart);
  else if (userPart !== '') {
    if (account === undefined) throw refuse(`${JSON.stringify(userPart)} is not in its /etc/passwd`);
    uid = id(account[2]);
  }
  if (groupPart === undefined || groupPart === '') {
    return `${uid}:${userPart === '' || account === undefined ? 0 : id(account[3])}`;
  }
  if (/^[0-9]+$/.test(groupPart)) return `${uid}:${id(groupPart)}`;
  const entry = lines(group).find((fields) => fields[0] === groupPart);
  if (entry === undefined) throw refuse(`${JSON.stringify(groupPart)} is not in its /etc/group`);
  return `${uid}:${id(entry[2])}`;
}

function lines(text: string): string[][] {
  return text.split('\n').map((line) => line.split(':'));
}
