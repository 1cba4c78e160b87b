// Two operators who change the same thing: `ETag` says what was read, `If-Match` that nothing else may be overwritten. A tag
// stands for what operators can change, not for what changes by itself (how many run, when it was heard last).
import { createHash } from 'node:crypto';
import { RefusedError } from './http.ts';

/** A tag of these facts. */
export function etagOf(...facts: readonly (string | number | boolean)[]): string {
  return `"${createHash('sha256').update(JSON.stringify(facts)).digest('base64url').slice(0, 22)}"`;
}

interface Condition {
  headers: { 'if-match'?: string | undefined; 'if-none-match'?: string | undefined };
}

/** Throws where what is there is not what the request is for. `etag`: undefined where there is none of that name. */
export function requireVersion(
  { headers }: Condition,
  { name, etag }: { name: string; etag: string | undefined },
): void {
  const wanted = headers['if-match'];
  if (wanted !== undefined && !isListed(wanted, etag))
    throw new RefusedError(
      412,
      `cannot change ${name}: it is ${etag ?? 'not there'}, want ${wanted.slice(0, 100)} (If-Match): read it again`,
    );
  const unwanted = headers['if-none-match'];
  if (unwanted !== undefined && isListed(unwanted, etag))
    throw new RefusedError(412, `cannot make ${name}: it is there already as ${etag ?? ''} (If-None-Match)`);
}

/** A weak tag is none of ours. */
function isListed(tags: string, etag: string | undefined): boolean {
  if (etag === undefined) return false;
  return tags.trim() === '*' || tags.split(',').some((tag) => tag.trim() === etag);
}

/** Looks and changes of one thing, one after another: nothing changes between the look at a version and the change. */
export type KeyedMutex = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** As many wait as there are requests, which are bounded by their connections. */
export function keyedMutex(): KeyedMutex {
  const last = new Map<string, Promise<unknown>>();
  return async (name, work) => {
    const before = last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    last.set(name, mine);
    try {
      return await mine;
    } finally {
      if (last.get(name) === mine) last.delete(name);
    }
  };
}
