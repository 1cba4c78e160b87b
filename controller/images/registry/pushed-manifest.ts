// A manifest as it is pushed: what it must have to be stored, and what it needs. Pure.
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { RegistryError } from './registry-error.ts';
import { sha256Of } from './registry-request.ts';

export interface PushedManifest {
  mediaType: string;
  /** Blobs that must be in the repository, by sha256. */
  blobs: string[];
  /** Manifests that an index lists, by sha256. */
  manifests: string[];
  /** The digest of what it is attached to; that may come later. */
  subject: string | undefined;
  /** An image, or an index: something that may run. */
  mayRun: boolean;
}

const Descriptor = Type.Object({
  mediaType: Type.Optional(Type.String()),
  digest: Type.String({ maxLength: 200 }),
  size: Type.Integer({ minimum: 0 }),
  urls: Type.Optional(Type.Unknown()),
});
const Subject = Type.Optional(Type.Union([Type.Object({ digest: Type.String({ maxLength: 200 }) }), Type.Null()]));
const Own = Type.Optional(Type.String({ maxLength: 200 }));
const entryLimit = 1_000;
const ImageManifest = Type.Object({
  schemaVersion: Type.Literal(2),
  mediaType: Own,
  config: Descriptor,
  layers: Type.Array(Descriptor, { maxItems: entryLimit }),
  subject: Subject,
});
const ImageIndex = Type.Object({
  schemaVersion: Type.Literal(2),
  mediaType: Own,
  manifests: Type.Array(Descriptor, { maxItems: entryLimit }),
  subject: Subject,
});

const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const runnableConfigs = ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json'];

/** `contentType`: as the request says; the manifest's own word where it says nothing. Throws a RegistryError. */
export function pushedManifest(bytes: Buffer, contentType: string | undefined): PushedManifest {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw invalid('it is not JSON');
  }
  const own = typeof value === 'object' && value !== null && 'mediaType' in value ? value.mediaType : undefined;
  const said = contentType?.replace(/;.*/s, '').trim();
  const mediaType = said ?? (typeof own === 'string' ? own : '');
  if (own !== undefined && own !== mediaType)
    throw invalid(`its mediaType is ${shown(own)}, its content type ${shown(mediaType)}, want them equal`);
  if (indexTypes.includes(mediaType)) {
    const { manifests, subject } = checked(ImageIndex, value);
    return {
      mediaType,
      blobs: [],
      manifests: manifests.map(({ digest }) => sha256Of(digest)),
      subject: subject?.digest,
      mayRun: true,
    };
  }
  if (!manifestTypes.includes(mediaType))
    throw invalid(`its media type is ${shown(mediaType)}, want ${[...manifestTypes, ...indexTypes].join(', ')}`);
  const { config, layers, subject } = checked(ImageManifest, value);
  // Layers with addresses of their own are not to be copied.
  const needed = [config, ...layers.filter(({ urls }) => urls === undefined)];
  return {
    mediaType,
    blobs: needed.map(({ digest }) => sha256Of(digest)),
    manifests: [],
    subject: subject?.digest,
    mayRun: runnableConfigs.includes(config.mediaType ?? ''),
  };
}

function checked<T extends typeof ImageManifest | typeof ImageIndex>(schema: T, value: unknown): Static<T> {
  if (Check(schema, value)) return value;
  const [first] = Errors(schema, value);
  throw invalid(`${first?.instancePath ?? ''} ${first?.message ?? 'is not as wanted'}`);
}

function invalid(why: string): RegistryError {
  return new RegistryError([400, 'MANIFEST_INVALID'], `cannot store the manifest: ${why}`);
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'missing').slice(0, 120);
}
