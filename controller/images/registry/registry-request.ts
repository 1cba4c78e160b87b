/**
 * What a request to `/v2/` is about: the endpoints of the OCI distribution-spec 1.1. Pure. A repository's name has slashes,
 * so a path is read from its end.
 *
 *     /v2/ │ <name>/blobs/<digest> │ <name>/blobs/uploads/[<id>] │ <name>/manifests/<tag or digest> │ <name>/tags/list
 */
import { RegistryError } from './registry-error.ts';

export type RegistryRequest =
  | { kind: 'base' }
  | { kind: 'blob'; repository: string; sha256: string }
  | { kind: 'uploads'; repository: string }
  | { kind: 'upload'; repository: string; id: string }
  | { kind: 'manifest'; repository: string; reference: Reference }
  | { kind: 'tags'; repository: string }
  | { kind: 'referrers'; repository: string };

export type Reference = { tag: string } | { sha256: string };

const part = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryName = new RegExp(`^${part}(?:/${part})*$`);
/** An image is named by repository and tag, and images' names are as long as this. */
const repositoryCharacters = 100;
const tagName = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const sha256Digest = /^sha256:([0-9a-f]{64})$/;
const anyDigest = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;
const endings =
  /^(.+?)\/(?:(blobs)\/([^/]+)|(blobs\/uploads)\/([^/]*)|(manifests)\/([^/]+)|(tags)\/list|(referrers)\/([^/]+))$/;

/** `path`: what follows `/v2/`, decoded. Throws a RegistryError where it is none of the endpoints. */
export function registryRequest(path: string): RegistryRequest {
  if (path === '') return { kind: 'base' };
  const found = endings.exec(path);
  const repository = found?.[1];
  if (found === null || repository === undefined)
    throw new RegistryError(
      [404, 'UNSUPPORTED'],
      `there is nothing at /v2/${path.slice(0, 100)}, want an endpoint of the OCI distribution-spec`,
    );
  if (!repositoryName.test(repository) || repository.length > repositoryCharacters)
    throw new RegistryError(
      [400, 'NAME_INVALID'],
      `cannot use the repository ${JSON.stringify(repository.slice(0, 120))}, want a name like acme/web, in lower case, of ${repositoryCharacters} characters at most`,
    );
  if (found[4] !== undefined) {
    const id = found[5] ?? '';
    return id === '' ? { kind: 'uploads', repository } : { kind: 'upload', repository, id };
  }
  if (found[2] !== undefined)
    return found[3] === 'uploads'
      ? { kind: 'uploads', repository }
      : { kind: 'blob', repository, sha256: sha256Of(found[3] ?? '') };
  if (found[6] !== undefined) return { kind: 'manifest', repository, reference: referenceOf(found[7] ?? '') };
  if (found[8] !== undefined) return { kind: 'tags', repository };
  return { kind: 'referrers', repository };
}

/** Throws a RegistryError for another algorithm than sha256, and for what is no digest. */
export function sha256Of(digest: string): string {
  const hex = sha256Digest.exec(digest)?.[1];
  if (hex !== undefined) return hex;
  throw new RegistryError(
    [400, 'DIGEST_INVALID'],
    `cannot use the digest ${JSON.stringify(digest.slice(0, 100))}, want sha256: and 64 digits of 0-9 and a-f`,
  );
}

function referenceOf(text: string): Reference {
  if (anyDigest.test(text)) return { sha256: sha256Of(text) };
  if (tagName.test(text)) return { tag: text };
  throw new RegistryError(
    [400, 'MANIFEST_INVALID'],
    `cannot use the tag ${JSON.stringify(text.slice(0, 100))}, want 1 to 128 of A-Z, a-z, 0-9, _, . and -, no . or - in front`,
  );
}

/** Where a repository belongs to a customer: acme/web to acme. Others are everybody's. */
export function ownerOf(repository: string): string {
  const slash = repository.indexOf('/');
  return slash < 0 ? '' : repository.slice(0, slash);
}

/** `0-499` and `bytes 0-499/1000` (what some clients send): both ends are part of it. Undefined where it is neither. */
export function contentRange(text: string): { from: number; to: number } | undefined {
  const [, from, to] = /^(?:bytes[ =])?([0-9]{1,15})-([0-9]{1,15})(?:\/(?:[0-9]{1,15}|\*))?$/.exec(text) ?? [];
  return from === undefined || to === undefined || Number(to) < Number(from)
    ? undefined
    : { from: Number(from), to: Number(to) };
}

/** Of `Range: bytes=…` for content of that size: one range; undefined where it is not one that can be answered so. */
export function byteRange(text: string, sizeBytes: number): { from: number; to: number } | 'beyond' | undefined {
  const [, from = '', to = ''] = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(text) ?? [];
  if (from === '' && to === '') return undefined;
  if (from === '') {
    const last = Math.min(Number(to), sizeBytes);
    return last === 0 ? 'beyond' : { from: sizeBytes - last, to: sizeBytes - 1 };
  }
  if (Number(from) >= sizeBytes) return 'beyond';
  if (to !== '' && Number(to) < Number(from)) return undefined;
  return { from: Number(from), to: to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1) };
}

/** A page of names in order. */
export function pageOfTags(
  tags: Iterable<string>,
  { n, last }: { n: number | undefined; last: string | undefined },
): { tags: string[]; next: string | undefined } {
  const following = [...tags].filter((tag) => last === undefined || tag > last).toSorted((a, b) => (a < b ? -1 : 1));
  const page = following.slice(0, n);
  return { tags: page, next: page.length > 0 && page.length < following.length ? page.at(-1) : undefined };
}
