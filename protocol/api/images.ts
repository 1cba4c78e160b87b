import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import { ImageName, Instant, Next, Nothing, Sha256, closed, pageQuery, told } from './fields.ts';

export const ImageHealthcheck = Type.Object(
  {
    test: told('`CMD` and the program with its arguments, or `CMD-SHELL` and a line.', Type.Array(Type.String())),
    intervalMs: Type.Optional(Type.Integer({ minimum: 1 })),
    timeoutMs: Type.Optional(Type.Integer({ minimum: 1 })),
    startPeriodMs: Type.Optional(Type.Integer({ minimum: 1 })),
    startIntervalMs: Type.Optional(Type.Integer({ minimum: 1 })),
    retries: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { title: 'ImageHealthcheck', description: 'How the image says that it is well; what is left out has a default.' },
);
export type ImageHealthcheck = Static<typeof ImageHealthcheck>;

export const ImageConfig = Type.Object(
  {
    entrypoint: Type.Array(Type.String()),
    cmd: Type.Array(Type.String()),
    env: Type.Array(Type.String()),
    workingDir: Type.String(),
    user: told('`user` or `user:group`, by name or number, as the image has it; empty: root.', Type.String()),
    stopSignal: Type.Optional(
      told('What asks it to end, `SIGINT`, `SIGRTMIN+3` or `15`; SIGTERM where left out.', Type.String()),
    ),
    healthcheck: Type.Optional(ImageHealthcheck),
    volumes: Type.Optional(told('Directories that it wants to write to.', Type.Array(Type.String()))),
    exposedPorts: Type.Optional(told('As `8080/tcp`.', Type.Array(Type.String()))),
    labels: Type.Optional(Type.Record(Type.String(), Type.String())),
  },
  { title: 'ImageConfig', description: 'What an OCI image’s configuration says about running it.' },
);
export type ImageConfig = Static<typeof ImageConfig>;

const Squashfs = Type.Object({ sha256: Sha256, sizeBytes: Type.Integer() });

/** What a name stood for. */
export const ImageVersion = Type.Object(
  { digest: told('Of the OCI manifest.', Sha256), squashfs: Squashfs, importedAt: Instant },
  { title: 'ImageVersion' },
);
export type ImageVersion = Static<typeof ImageVersion>;

export const Image = Type.Object(
  {
    name: ImageName,
    digest: told('Of the OCI manifest that was imported.', Sha256),
    architecture: Type.String(),
    squashfs: told('The one file a node fetches.', Squashfs),
    config: ImageConfig,
    importedAt: Instant,
    history: Type.Optional(
      told('What the name stood for before, newest first; left out where it is the first.', Type.Array(ImageVersion)),
    ),
  },
  { title: 'Image' },
);
export type Image = Static<typeof Image>;

export const ImageDetail = Type.Object(
  {
    image: Image,
    usedBy: told(
      'Workloads that were deployed with it, `acme/web`, with the digest that each has: of today, or of before.',
      Type.Array(Type.Object({ workload: Type.String(), digest: Sha256, instances: Type.Integer() })),
    ),
    sharedWith: told('Images under other names that are the same file.', Type.Array(ImageName)),
  },
  { title: 'ImageDetail' },
);
export type ImageDetail = Static<typeof ImageDetail>;

export const PrunedImages = Type.Object(
  {
    removed: told('Names, the oldest first.', Type.Array(ImageName)),
    freedBytes: Type.Integer(),
    keptBytes: told('What images still take on the controller’s disk.', Type.Integer()),
  },
  { title: 'PrunedImages' },
);
export type PrunedImages = Static<typeof PrunedImages>;

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
  {
    images: Type.Array(Image),
    imports: Type.Array(ImageImport),
    used: told(
      'The workloads of each image of this page that has any: `{"web": ["acme/web"]}`.',
      Type.Record(Type.String(), Type.Array(Type.String())),
    ),
    next: Next,
  },
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
    access: 'customer',
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
  pullImage: {
    method: 'POST',
    path: '/v1/images/pull',
    summary: 'Import an image from a registry',
    description:
      'The controller fetches it, for linux/arm64. The answer comes when it is converted; the list tells how far it is.',
    tag: 'images',
    security: 'operator',
    schema: {
      body: Type.Object(
        {
          source: told(
            '`docker://host/name:tag`, or with `@sha256:…`.',
            Type.String({ pattern: '^docker://[A-Za-z0-9][A-Za-z0-9._:/@-]{2,300}$' }),
          ),
          name: ImageName,
          user: Type.Optional(Type.String({ minLength: 1, maxLength: 200, pattern: '^[^:]+$' })),
          password: Type.Optional(told('Kept nowhere.', Type.String({ minLength: 1, maxLength: 4_096 }))),
          checksCertificate: told('False: whatever certificate the registry has.', Type.Boolean({ default: true })),
        },
        closed,
      ),
      response: { 201: Image },
    },
    problems: ['unavailable'],
  },
  getImage: {
    method: 'GET',
    path: '/v1/images/:image',
    summary: 'One image: what it runs, what its name stood for before, and who uses it',
    tag: 'images',
    security: 'operator',
    schema: { params: Type.Object({ image: ImageName }), response: { 200: ImageDetail } },
  },
  pruneImages: {
    method: 'POST',
    path: '/v1/images/prune',
    summary: 'Remove images that nothing uses, the oldest first',
    description:
      'Goes on until all images together take no more than `keepBytes`. What a workload or an instance uses stays. ' +
      'First goes what names stood for before, then names.',
    tag: 'images',
    security: 'operator',
    schema: {
      body: Type.Object(
        {
          keepBytes: Type.Integer({ minimum: 0, default: 0 }),
          dryRun: Type.Boolean({ default: false }),
        },
        closed,
      ),
      response: { 200: PrunedImages },
    },
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
