// The registry's decisions, one operation of the distribution-spec after another: what may come in, what it makes of it, what
// goes. HTTP is `registry-api.ts`; files are `repositories.ts` and `uploads.ts`.
//
//     push    blobs, each by an upload or a mount ─▶ manifest ─▶ squashfs (the importer's process) ─▶ tag, image `acme/web:1.4`
//
// What no board can run (a signature, an image for other machines) is stored and tagged all the same: a registry keeps it for
// whoever asks. Who pushes an image that cannot run is told by a warning, and the events say why.
import { mkdir, open, rename, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { sha256 as hashOf } from '../../../images/digest.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import { imageNamePattern } from '../../../protocol/names.ts';
import { RefusedError } from '../../api/serving/http.ts';
import type { ImageStore } from '../image-store.ts';
import { readManifest } from './large-manifest.ts';
import type { PushedManifest } from './pushed-manifest.ts';
import { RegistryError } from './registry-error.ts';
import { ownerOf, type Reference } from './registry-request.ts';
import { blobPath, openRepositories, type RegistryLimits, type Repositories, type Repository } from './repositories.ts';
import { openUploads, type Admit, type Upload, type UploadLimits, type UploadPath, type Uploads } from './uploads.ts';

export interface RegistryOptions {
  directory: string;
  inventory: Inventory;
  images: ImageStore;
  random: (bytes: number) => Buffer;
  /** Milliseconds since 1970. */
  now: () => number;
  limits?: Partial<RegistryLimits & UploadLimits>;
}

const mostBytes = 64 * 2 ** 30;
/** Of the disk, or a sixteenth of a small one: no push takes these. */
const keptBytes = 64 * 2 ** 20;
const countLimits = {
  repositories: 1_000,
  entries: 2_000,
  uploads: 64,
  uploadsOfOne: 32,
  blobBytes: 8 * 2 ** 30,
  wholeMs: 3_600_000,
  idleMs: 900_000,
};

export interface Stored {
  sha256: string;
  sizeBytes: number;
  path: string;
}

export interface Registry {
  /** Throws a RegistryError, as all of them do. */
  blob(repository: string, sha256: string): Stored;
  manifest(repository: string, reference: Reference): Stored & { mediaType: string };
  tags(repository: string): Iterable<string>;
  startUpload(repository: string, by: string): Promise<Upload>;
  upload(path: UploadPath): Upload;
  /** `from`: where the sender says that the body begins. */
  append(path: UploadPath, said: { body: Readable; from: number | undefined }): Promise<Upload>;
  finishUpload(path: UploadPath, sha256: string): Promise<void>;
  cancelUpload(path: UploadPath): Promise<void>;
  /** False where that repository has no such blob. */
  mount(repository: string, source: { from: string; sha256: string }): Promise<boolean>;
  /** Answers when an image that can run is converted. `warning`: why it cannot. */
  putManifest(repository: string, put: PutManifest): Promise<{ sha256: string; subject?: string; warning?: string }>;
  removeBlob(repository: string, sha256: string): Promise<void>;
  removeManifest(repository: string, reference: Reference): Promise<void>;
  /** Removes what no tag leads to any more; gives what that freed. */
  collect(): Promise<number>;
  /** The tag of an image that was removed by its name, if it has one. */
  forget(image: string): Promise<void>;
}

export interface PutManifest {
  reference: Reference;
  bytes: Buffer;
  contentType: string | undefined;
  by: string;
}

/** Made when it is first asked for something: a start after a crash waits for nothing of it. */
export function startRegistry(options: RegistryOptions): () => Promise<Registry> {
  let opened: Promise<Registry> | undefined;
  return () => (opened ??= openRegistry(options));
}

interface Parts extends RegistryOptions {
  limits: RegistryLimits & UploadLimits;
  repositories: Repositories;
  uploads: Uploads;
}

export async function openRegistry({ limits: own, ...options }: RegistryOptions): Promise<Registry> {
  const { directory, random, now } = options;
  await mkdir(directory, { recursive: true });
  const disk = await statfs(directory);
  // Half of the disk, and a quarter of that for one customer: the rest is for what boards fetch, logs, and orders.
  const totalBytes = own?.totalBytes ?? Math.min(mostBytes, Math.floor((disk.blocks * disk.bsize) / 2));
  const limits = { ...countLimits, totalBytes, customerBytes: Math.floor(totalBytes / 4), ...own };
  const repositories = await openRepositories({ directory, limits });
  const uploads = await openUploads({ directory, limits, random, now });
  const parts: Parts = { ...options, limits, repositories, uploads };
  return {
    ...reads(parts),
    startUpload: async (repository, by) => {
      refuseStranger(parts, repository);
      return uploads.start({ repository, by });
    },
    upload: (path) => uploads.get(path),
    append: async (path, { body, from }) => {
      const { id, sizeBytes } = uploads.get(path);
      if (from !== undefined && from !== sizeBytes)
        throw new RegistryError(
          [416, 'BLOB_UPLOAD_INVALID'],
          `cannot go on at byte ${from}: ${sizeBytes} are here, want the next`,
          { range: `0-${Math.max(0, sizeBytes - 1)}` },
        );
      return uploads.append(id, { body, admit: admission(parts, path.repository) });
    },
    finishUpload: async (path, sha256) => {
      let { sizeBytes } = uploads.get(path);
      await repositories.changeAfter(path.repository, {
        first: async () => ({ sizeBytes } = await uploads.finish(path.id, sha256)),
        decide: ({ blobs }) => blobs.set(sha256, { sizeBytes, at: now() }),
      });
    },
    cancelUpload: async (path) => uploads.cancel(uploads.get(path).id),
    mount: async (repository, { from, sha256 }) => {
      refuseStranger(parts, repository);
      const sizeBytes = repositories.get(from)?.blobs.get(sha256)?.sizeBytes;
      if (sizeBytes === undefined) return false;
      if (ownerOf(from) !== ownerOf(repository)) await admission(parts, repository)(sizeBytes);
      return repositories.change(repository, ({ blobs }) => {
        if (repositories.get(from)?.blobs.has(sha256) !== true) return false;
        blobs.set(sha256, { sizeBytes, at: now() });
        return true;
      });
    },
    putManifest: (repository, put) => putManifest(parts, { repository, ...put }),
    collect: () => repositories.collect({ freeBytes: Infinity, now: now() }),
    ...removals(parts),
  };
}

function reads({ directory, repositories }: Parts): Pick<Registry, 'blob' | 'manifest' | 'tags'> {
  return {
    blob: (repository, sha256) => {
      const found = repositories.get(repository)?.blobs.get(sha256);
      if (found === undefined)
        throw new RegistryError([404, 'BLOB_UNKNOWN'], `there is no blob sha256:${sha256} in ${repository}`);
      return { sha256, sizeBytes: found.sizeBytes, path: blobPath(directory, sha256) };
    },
    manifest: (repository, reference) => {
      const found = repositories.get(repository);
      const sha256 = 'tag' in reference ? found?.tags.get(reference.tag)?.sha256 : reference.sha256;
      const manifest = sha256 === undefined ? undefined : found?.manifests.get(sha256);
      if (sha256 === undefined || manifest === undefined) throw unknownManifest(repository, reference);
      const { sizeBytes, mediaType } = manifest;
      return { sha256, sizeBytes, mediaType, path: blobPath(directory, sha256) };
    },
    tags: (repository) => {
      const found = repositories.get(repository);
      if (found === undefined)
        throw new RegistryError(
          [404, 'NAME_UNKNOWN'],
          `there is no repository ${repository}, want one that was pushed to`,
        );
      return found.tags.keys();
    },
  };
}

function unknownManifest(repository: string, reference: Reference): RegistryError {
  const what = 'tag' in reference ? `tag ${reference.tag}` : `manifest sha256:${reference.sha256}`;
  return new RegistryError([404, 'MANIFEST_UNKNOWN'], `there is no ${what} in ${repository}`);
}

function removals({
  images,
  inventory,
  repositories,
}: Parts): Pick<Registry, 'removeBlob' | 'removeManifest' | 'forget'> {
  const untag = (repository: string, tags: readonly string[]) =>
    repositories.change(repository, (document) => {
      for (const tag of tags) document.tags.delete(tag);
    });
  return {
    removeBlob: async (repository, sha256) => {
      await repositories.change(repository, ({ blobs, manifests }) => {
        const holder = [...manifests].find(([, manifest]) => manifest.blobs.includes(sha256))?.[0];
        if (holder !== undefined)
          throw new RegistryError(
            [405, 'UNSUPPORTED'],
            `cannot remove the blob: it is part of the manifest sha256:${holder}, remove that first`,
          );
        if (!blobs.delete(sha256))
          throw new RegistryError([404, 'BLOB_UNKNOWN'], `there is no blob sha256:${sha256} in ${repository}`);
      });
      await repositories.sweep(sha256);
    },
    removeManifest: async (repository, reference) => {
      const found = repositories.get(repository);
      const tags =
        'tag' in reference
          ? [reference.tag].filter((tag) => found?.tags.has(tag) === true)
          : [...(found?.tags ?? [])].flatMap(([tag, { sha256 }]) => (sha256 === reference.sha256 ? tag : []));
      const isThere = 'tag' in reference ? tags.length > 0 : found?.manifests.has(reference.sha256) === true;
      if (!isThere) throw unknownManifest(repository, reference);
      for (const tag of tags) {
        const name = `${repository}:${tag}`;
        if (inventory.images.get(name) !== undefined) await images.remove(name);
      }
      await untag(repository, tags);
      if ('tag' in reference) return;
      await repositories.change(repository, ({ manifests }) => manifests.delete(reference.sha256));
      await repositories.sweep(reference.sha256);
    },
    forget: async (image) => {
      const colon = image.lastIndexOf(':');
      const [repository, tag] = [image.slice(0, colon), image.slice(colon + 1)];
      if (colon > 0 && repositories.get(repository)?.tags.has(tag) === true) await untag(repository, [tag]);
    },
  };
}

/** Repositories with a name in front are customers'. */
function refuseStranger({ inventory }: Parts, repository: string): void {
  const owner = ownerOf(repository);
  if (owner === '' || inventory.customers.get(owner) !== undefined) return;
  throw new RegistryError(
    [403, 'DENIED'],
    `cannot push to ${repository}: there is no customer ${owner}; add it (muster customer add ${owner}), or push to a name without /, which is everybody's`,
  );
}

/** What is asked before each piece that comes in: whether the disk, the registry and the customer have room for it. */
function admission(parts: Parts, repository: string): Admit {
  const { inventory, limits, repositories, uploads, directory, now } = parts;
  const owner = ownerOf(repository);
  const mine = (other: string): boolean => ownerOf(other) === owner;
  const stored = () => ({
    all: repositories.usedBytes(),
    own: owner === '' ? -Infinity : repositories.usedBytesOf(owner),
  });
  // Read once for many pieces: what is stored meanwhile was being uploaded, and counted so.
  let { all, own } = stored();
  const excess = (bytes: number) => ({
    ofAll: all + uploads.usedBytes() + bytes - limits.totalBytes,
    ofOwn: own + uploads.usedBytes(mine) + bytes - limits.customerBytes,
  });
  return async (bytes) => {
    // What the disk has left then is for orders.
    const full = inventory.diskFull();
    if (full !== undefined) throw new RegistryError([507, 'DENIED'], full);
    const { blocks, bavail, bsize } = await statfs(directory);
    if (bavail * bsize - bytes < Math.min(keptBytes, (blocks * bsize) / 16))
      throw new RegistryError(
        [507, 'DENIED'],
        `cannot store it: the disk has ${bavail * bsize} bytes left, which are for orders and logs; ${makeRoom}`,
      );
    const before = excess(bytes);
    if (before.ofOwn > 0) await repositories.collect({ freeBytes: before.ofOwn, owner, now: now() });
    if (before.ofAll > 0) await repositories.collect({ freeBytes: before.ofAll, now: now() });
    if (before.ofOwn <= 0 && before.ofAll <= 0) return;
    ({ all, own } = stored());
    const { ofAll, ofOwn } = excess(bytes);
    if (ofAll > 0) throw quota(`all repositories together may have ${limits.totalBytes} bytes`);
    if (ofOwn > 0) throw quota(`${owner} may have ${limits.customerBytes} bytes`);
  };
}

const makeRoom = 'remove images that nothing uses (muster image ls, muster image rm NAME)';

function quota(why: string): RegistryError {
  return new RegistryError([403, 'DENIED'], `cannot store it: ${why}; ${makeRoom}`);
}

async function putManifest(
  parts: Parts,
  put: PutManifest & { repository: string },
): ReturnType<Registry['putManifest']> {
  const { directory, repositories, now } = parts;
  const { repository, reference, bytes, contentType } = put;
  refuseStranger(parts, repository);
  const manifest = await readManifest(bytes, contentType);
  const sha256 = hashOf(bytes);
  if ('sha256' in reference && reference.sha256 !== sha256)
    throw new RegistryError(
      [400, 'DIGEST_INVALID'],
      `cannot store the manifest: its digest is sha256:${sha256}, want sha256:${reference.sha256}`,
    );
  await admission(parts, repository)(bytes.length);
  const at = now();
  const { mediaType, blobs, manifests, subject } = manifest;
  await repositories.changeAfter(repository, {
    first: () => writeBlob(directory, sha256, bytes),
    decide: (document) => {
      refuseMissing(document, manifest);
      const own = { sizeBytes: bytes.length, at, mediaType, blobs, manifests };
      document.manifests.set(sha256, subject === undefined ? own : { ...own, subject });
    },
  });
  const told = { sha256, ...(subject === undefined ? {} : { subject }) };
  if (!('tag' in reference)) return told;
  const warning = manifest.mayRun
    ? await converted(parts, { ...put, tag: reference.tag, sha256, manifest })
    : undefined;
  await repositories.change(repository, ({ tags }) => tags.set(reference.tag, { sha256, at }));
  return warning === undefined ? told : { ...told, warning };
}

function refuseMissing({ name, blobs, manifests }: Repository, wanted: PushedManifest): void {
  const missing =
    wanted.blobs.find((sha256) => !blobs.has(sha256)) ?? wanted.manifests.find((sha256) => !manifests.has(sha256));
  if (missing !== undefined)
    throw new RegistryError(
      [404, 'MANIFEST_BLOB_UNKNOWN'],
      `cannot store the manifest: it needs sha256:${missing}, which is not in ${name}; push that first`,
    );
}

// oxlint-disable-next-line max-params -- where, under which name, and what
async function writeBlob(directory: string, sha256: string, bytes: Buffer): Promise<void> {
  const path = blobPath(directory, sha256);
  {
    await using file = await open(`${path}.new`, 'w');
    await file.writeFile(bytes);
    await file.sync();
  }
  await rename(`${path}.new`, path);
}

const imageName = new RegExp(imageNamePattern);
/** What clients keep beside an image, where a registry has no list of referrers. */
const besideTag = /^sha256-[0-9a-f]{64}(\.[a-z]+)?$/;

interface Conversion {
  repository: string;
  tag: string;
  sha256: string;
  manifest: PushedManifest;
  by: string;
}

/** Makes the image of that name; gives why no board can run it. */
async function converted(parts: Parts, conversion: Conversion): Promise<string | undefined> {
  const { inventory, images, directory, random } = parts;
  const { repository, tag, sha256, manifest, by } = conversion;
  if (besideTag.test(tag)) return undefined;
  const name = `${repository}:${tag}`;
  if (!imageName.test(name)) return `no image of it: ${name} is too long for an image's name, want a shorter tag`;
  const known = twin(parts, sha256);
  if (known !== undefined) {
    const isThere = inventory.images.get(name)?.digest === known.digest;
    if (isThere || (await images.alias(known, name))) return undefined;
  }
  const layout = join(directory, 'uploads', `layout-${random(8).toString('hex')}`);
  try {
    await mkdir(layout);
    await symlink(join(directory, 'blobs'), join(layout, 'blobs'));
    const path = blobPath(directory, sha256);
    const size = (await stat(path)).size;
    const index = {
      schemaVersion: 2,
      manifests: [{ mediaType: manifest.mediaType, digest: `sha256:${sha256}`, size }],
    };
    await writeFile(join(layout, 'index.json'), JSON.stringify(index));
    await images.convert(layout, { name, by, sizeBytes: sizeOfAll(parts, { repository, sha256 }) });
    return undefined;
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    if (error.status === 503) throw new RegistryError([429, 'TOOMANYREQUESTS'], error.message, { 'retry-after': '10' });
    if (error.status !== 400) throw new RegistryError([error.status, 'DENIED'], error.message);
    inventory.events.add({
      kind: 'image',
      subject: name,
      message: `pushed, and no board can run it: ${error.message}`,
    });
    return `no board can run it: ${error.message}`;
  } finally {
    await rm(layout, { recursive: true, force: true });
  }
}

/** An image that was made of the very same manifest, under whatever name. */
function twin({ repositories, inventory }: Parts, sha256: string) {
  for (const { name, tags } of repositories.all())
    for (const [tag, { sha256: own }] of tags) {
      const image = own === sha256 ? inventory.images.get(`${name}:${tag}`) : undefined;
      if (image !== undefined) return image;
    }
  return undefined;
}

function sizeOfAll({ repositories }: Parts, { repository, sha256 }: { repository: string; sha256: string }): number {
  const { blobs, manifests } = repositories.get(repository) ?? { blobs: new Map(), manifests: new Map() };
  const own = manifests.get(sha256);
  const all = [own, ...(own?.manifests ?? []).map((each: string) => manifests.get(each))];
  return all
    .flatMap((each) => each?.blobs ?? [])
    .reduce((sum: number, each: string) => sum + (blobs.get(each)?.sizeBytes ?? 0), 0);
}
