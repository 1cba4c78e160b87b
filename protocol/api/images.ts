import { Type, type Static } from 'typebox';
import { Healthcheck } from '../workload/check-schemas.ts';
import type { Routes } from './route.ts';
import { ImageName, Instant, Next, Nothing, Sha256, closed, pageQuery, told } from './fields.ts';

export const ImageConfig = Type.Object(
  {
    entrypoint: Type.Array(Type.String()),
    cmd: Type.Array(Type.String()),
    env: Type.Array(Type.String()),
    workingDir: Type.String(),
    user: told('Numeric or by name of the image’s /etc/passwd, resolved at import to `uid:gid`.', Type.String()),
    healthcheck: Type.Optional(Healthcheck),
  },
  { title: 'ImageConfig', description: 'What an OCI image’s configuration says about running it.' },
);
export type ImageConfig = Static<typeof ImageConfig>;

export const Image = Type.Object(
  {
    name: ImageName,
    digest: told('Of the OCI manifest that was imported.', Sha256),
    architecture: Type.String(),
    squashfs: told('The one file a node fetches.', Type.Object({ sha256: Sha256, sizeBytes: Type.Integer() })),
    config: ImageConfig,
    importedAt: Instant,
  },
  { title: 'Image' },
);
export type Image = Static<typeof Image>;

export const ImageImport = Type.Object(
  {
    name: ImageName,
    by: told('The operator whose archive it is.', Type.String()),
    doing: told('`receiving`, `waiting` for its turn, or what its conversion does.', Type.String()),
    since: Instant,
  },
  { title: 'ImageImport', description: 'An import that is under way.' },
);
export type ImageImport = Static<typeof ImageImport>;

export const Images = Type.Object(
  { images: Type.Array(Image), imports: Type.Array(ImageImport), next: Next },
  { title: 'Images' },
);
export type Images = Static<typeof Images>;

export const imageRoutes = {
  listImages: {
    method: 'GET',
    path: '/v1/images',
    summary: 'All images, by name, and the imports under way',
    tag: 'images',
    security: 'operator',
    schema: { querystring: Type.Object(pageQuery, closed), response: { 200: Images } },
  },
  importImage: {
    method: 'POST',
    path: '/v1/images',
    summary: 'Import an image',
    description: 'The body is the archive: `docker save`, an OCI archive, or an OCI layout as tar.',
    tag: 'images',
    security: 'operator',
    schema: { querystring: Type.Object({ name: ImageName }, closed), response: { 201: Image } },
    consumes: 'application/octet-stream',
    problems: ['unavailable'],
  },
  removeImage: {
    method: 'DELETE',
    path: '/v1/images/:image',
    summary: 'Remove an image that no workload uses',
    tag: 'images',
    security: 'operator',
    schema: { params: Type.Object({ image: ImageName }), response: { 200: Nothing } },
  },
} as const satisfies Routes;
