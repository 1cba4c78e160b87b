// What is in which repository: a document each, written whole. Blobs are kept once, whatever repositories have them.
//
//     <directory>/repositories/acme%2Fweb.json   its blobs, manifests and tags
//     <directory>/blobs/sha256/<digest>          an OCI layout's folder, so that a conversion reads it as it stands
//
// A blob belongs to a repository from its upload or mount on, a manifest to the blobs that it names. What no tag leads to any
// more goes when room is wanted.
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { RegistryError } from './registry-error.ts';
import { ownerOf } from './registry-request.ts';

const Size = Type.Integer({ minimum: 0 });
const At = Type.Integer({ minimum: 0 });
const Blob = Type.Object({ sizeBytes: Size, at: At });
const StoredManifest = Type.Object({
  sizeBytes: Size,
  at: At,
  mediaType: Type.String(),
  blobs: Type.Array(Type.String()),
  manifests: Type.Array(Type.String()),
  subject: Type.Optional(Type.String()),
});
const Tag = Type.Object({ sha256: Type.String(), at: At });
/** On the disk: lists of entries, because a tag may be called `__proto__`. */
const RepositoryFile = Type.Object({
  name: Type.String(),
  blobs: Type.Array(Type.Tuple([Type.String(), Blob])),
  manifests: Type.Array(Type.Tuple([Type.String(), StoredManifest])),
  tags: Type.Array(Type.Tuple([Type.String(), Tag])),
});

/** Blobs and manifests by sha256, `at`: since when. */
export interface Repository {
  name: string;
  blobs: Map<string, Static<typeof Blob>>;
  manifests: Map<string, Static<typeof StoredManifest>>;
  tags: Map<string, Static<typeof Tag>>;
}

export interface RegistryLimits {
  /** Of all that is stored and what is being uploaded. */
  totalBytes: number;
  /** Of one customer's repositories, equal blobs once. */
  customerBytes: number;
  repositories: number;
  /** Of one repository, each. */
  entries: number;
}

/** Younger things may be half of a push that goes on. */
const graceMs = 3_600_000;

interface ChangeSteps<T> {
  first: () => Promise<unknown>;
  decide: (repository: Repository) => T;
}

export interface Repositories {
  get(name: string): Repository | undefined;
  all(): Iterable<Repository>;
  /** Decides on a copy, stores it, and then it counts. One after another. Throws what it throws. */
  change<T>(name: string, decide: (repository: Repository) => T): Promise<T>;
  /** The same after `first`, which puts files in their place: nobody removes these in between. */
  changeAfter<T>(name: string, steps: ChangeSteps<T>): Promise<T>;
  /** What all blobs and manifests take, equal ones once. */
  usedBytes(): number;
  usedBytesOf(owner: string): number;
  /** Removes what no tag leads to, the oldest first, until `wantedBytes` are free of the limit's; gives what that freed. */
  collect(wanted: { freeBytes: number; owner?: string; now: number; graceMs?: number }): Promise<number>;
  /** Removes the file where no repository has it any more; says whether it did. */
  sweep(sha256: string): Promise<boolean>;
}

export function blobPath(directory: string, sha256: string): string {
  return join(directory, 'blobs/sha256', sha256);
}

export async function openRepositories({
  directory,
  limits,
}: {
  directory: string;
  limits: RegistryLimits;
}): Promise<Repositories> {
  await mkdir(join(directory, 'repositories'), { recursive: true });
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
  const documents = await loaded(directory);
  let last: Promise<unknown> = Promise.resolve();

  const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
  const changeAfter: Repositories['changeAfter'] = (name, { first, decide }) =>
    inOrder(async () => {
      const known = documents.get(name);
      if (known === undefined && documents.size >= limits.repositories)
        throw new RegistryError(
          [403, 'DENIED'],
          `cannot make ${name}: there are ${documents.size} repositories, want no more: remove one first`,
        );
      await first();
      const next = structuredClone(known ?? { name, blobs: new Map(), manifests: new Map(), tags: new Map() });
      const result = decide(next);
      if (Math.max(next.blobs.size, next.manifests.size, next.tags.size) > limits.entries)
        throw new RegistryError(
          [403, 'DENIED'],
          `cannot add to ${name}: it has ${limits.entries} blobs, manifests or tags, want no more: remove some first`,
        );
      await stored(directory, next);
      if (isEmpty(next)) documents.delete(name);
      else documents.set(name, next);
      return result;
    });
  const sweep = (sha256: string): Promise<boolean> =>
    inOrder(async () => {
      for (const { blobs, manifests } of documents.values())
        if (blobs.has(sha256) || manifests.has(sha256)) return false;
      await rm(blobPath(directory, sha256), { force: true });
      return true;
    });
  const self: Repositories = {
    get: (name) => documents.get(name),
    all: () => documents.values(),
    change: (name, decide) => changeAfter(name, { first: () => Promise.resolve(), decide }),
    changeAfter,
    usedBytes: () => sizeOf(documents.values()),
    usedBytesOf: (owner) => sizeOf([...documents.values()].filter(({ name }) => ownerOf(name) === owner)),
    sweep,
    collect: ({ freeBytes, owner, now, graceMs: grace = graceMs }) =>
      collected({ self, documents, freeBytes, owner, before: now - grace }),
  };
  return self;
}

function isEmpty({ blobs, manifests, tags }: Repository): boolean {
  return blobs.size + manifests.size + tags.size === 0;
}

/** Of blobs and manifests, equal ones once. */
function sizeOf(repositories: Iterable<Repository>): number {
  const sizes = new Map<string, number>();
  for (const { blobs, manifests } of repositories)
    for (const entries of [blobs, manifests])
      for (const [sha256, { sizeBytes }] of entries) sizes.set(sha256, sizeBytes);
  let sum = 0;
  for (const sizeBytes of sizes.values()) sum += sizeBytes;
  return sum;
}

export interface Unneeded {
  repository: string;
  sha256: string;
  kind: 'blob' | 'manifest';
  at: number;
}

/** What neither a tag leads to nor anything that is younger than `before`: the oldest first. Pure. */
export function unneeded(document: Repository, before: number): Unneeded[] {
  const { name, blobs, manifests, tags } = document;
  const attached = new Map<string, string[]>();
  for (const [sha256, { subject }] of manifests)
    if (subject !== undefined) attached.set(subject, [...(attached.get(subject) ?? []), sha256]);
  const needed = new Set<string>();
  const young = Array.from(manifests).flatMap(([sha256, { at }]) => (at < before ? [] : sha256));
  const open = [...Array.from(tags.values(), ({ sha256 }) => sha256), ...young];
  for (let sha256 = open.pop(); sha256 !== undefined; sha256 = open.pop()) {
    if (needed.has(sha256)) continue;
    needed.add(sha256);
    const manifest = manifests.get(sha256);
    for (const blob of manifest?.blobs ?? []) needed.add(blob);
    // What is attached to it stays with it.
    open.push(...(manifest?.manifests ?? []), ...(attached.get(`sha256:${sha256}`) ?? []));
  }
  const found: Unneeded[] = [];
  for (const [sha256, manifest] of manifests) {
    if (!needed.has(sha256)) found.push({ repository: name, sha256, kind: 'manifest', at: manifest.at });
  }
  for (const [sha256, { at }] of blobs)
    if (!needed.has(sha256) && at < before) found.push({ repository: name, sha256, kind: 'blob', at });
  return found.toSorted((a, b) => a.at - b.at);
}

async function collected({
  self,
  documents,
  freeBytes,
  owner,
  before,
}: {
  self: Repositories;
  documents: ReadonlyMap<string, Repository>;
  freeBytes: number;
  owner: string | undefined;
  before: number;
}): Promise<number> {
  let freed = 0;
  const all = [...documents.values()]
    .filter(({ name }) => owner === undefined || ownerOf(name) === owner)
    .flatMap((document) => unneeded(document, before))
    .toSorted((a, b) => a.at - b.at);
  for (const { repository, sha256, kind } of all) {
    if (freed >= freeBytes) break;
    const sizeBytes = await self.change(repository, (document) => {
      // A tag or a push may have come to it meanwhile.
      if (!unneeded(document, before).some((each) => each.sha256 === sha256 && each.kind === kind)) return 0;
      const entries = kind === 'blob' ? document.blobs : document.manifests;
      const size = entries.get(sha256)?.sizeBytes ?? 0;
      entries.delete(sha256);
      return size;
    });
    if (await self.sweep(sha256)) freed += sizeBytes;
  }
  return freed;
}

async function loaded(directory: string): Promise<Map<string, Repository>> {
  const documents = new Map<string, Repository>();
  const held = new Set<string>();
  for (const file of await readdir(join(directory, 'repositories'))) {
    if (!file.endsWith('.json')) continue;
    const text = await readFile(join(directory, 'repositories', file), 'utf8');
    const document: unknown = JSON.parse(text);
    if (!Check(RepositoryFile, document))
      throw new Error(`cannot read ${join(directory, 'repositories', file)}: it is no repository, want it moved away`);
    const { name, blobs, manifests, tags } = document;
    documents.set(name, { name, blobs: new Map(blobs), manifests: new Map(manifests), tags: new Map(tags) });
    for (const [sha256] of [...blobs, ...manifests]) held.add(sha256);
  }
  // Of a push whose answer was never given.
  for (const sha256 of await readdir(join(directory, 'blobs/sha256')))
    if (!held.has(sha256)) await rm(blobPath(directory, sha256), { force: true });
  return documents;
}

/** On the disk before it is answered. */
async function stored(directory: string, document: Repository): Promise<void> {
  const folder = join(directory, 'repositories');
  const path = join(folder, `${encodeURIComponent(document.name)}.json`);
  if (isEmpty(document)) {
    await rm(path, { force: true });
    return;
  }
  {
    await using file = await open(`${path}.new`, 'w');
    const { name, blobs, manifests, tags } = document;
    await file.writeFile(JSON.stringify({ name, blobs: [...blobs], manifests: [...manifests], tags: [...tags] }));
    await file.sync();
  }
  await rename(`${path}.new`, path);
  await syncPath(folder);
}

/** A file's content, or a directory's entries, are on the disk from then on. */
export async function syncPath(path: string): Promise<void> {
  await using file = await open(path);
  await file.sync();
}
