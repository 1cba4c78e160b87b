import { Type, type Static } from 'typebox';
import { ImageName, Instant, Sha256 } from './fields.ts';

/** What an OCI image's configuration says about running it. */
export const ImageConfig = Type.Object({
  entrypoint: Type.Array(Type.String()),
  cmd: Type.Array(Type.String()),
  env: Type.Array(Type.String()),
  workingDir: Type.String(),
  /** Numeric or by name of the image's /etc/passwd, resolved at import to `uid:gid`. */
  user: Type.String(),
});
export type ImageConfig = Static<typeof ImageConfig>;

export const Image = Type.Object({
  name: ImageName,
  /** Of the OCI manifest that was imported. */
  digest: Sha256,
  architecture: Type.String(),
  /** The one file a node fetches. */
  squashfs: Type.Object({ sha256: Sha256, sizeBytes: Type.Integer() }),
  config: ImageConfig,
  importedAt: Instant,
});
export type Image = Static<typeof Image>;

/** An import that is under way. */
export const ImageImport = Type.Object({
  name: ImageName,
  /** The operator whose archive it is. */
  by: Type.String(),
  /** `receiving`, `waiting` for its turn, or what its conversion does. */
  doing: Type.String(),
  since: Instant,
});
export type ImageImport = Static<typeof ImageImport>;

/** `GET /v1/images` */
export const Images = Type.Object({ images: Type.Array(Image), imports: Type.Array(ImageImport) });
export type Images = Static<typeof Images>;
