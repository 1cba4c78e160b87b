// Lists in pages. A cursor is the key of the last item that was shown, so what is added or removed meanwhile neither hides an
// item nor shows one twice. Made in slices: there may be ten thousand.
import { inSlices, mapped, sorted } from '../../../inventory/slices.ts';
import { pageLimit } from '../../../protocol/api/fields.ts';
import { RefusedError } from './http.ts';

export interface Page<T> {
  items: T[];
  /** For `...rest` of an answer: `next`, where there is more. */
  rest: { next?: string };
}

type Key = string | number;

/** Items in the order of their keys, which are all texts or all numbers, as `view` shows them; without those that are gone. */
export async function pageOf<T, V>(
  items: readonly T[],
  {
    query,
    key,
    view,
  }: { query: { limit?: string; after?: string }; key: (item: T) => Key; view: (item: T) => V | undefined },
): Promise<Page<V>> {
  const limit = Math.max(1, Math.min(pageLimit, Number(query.limit ?? pageLimit)));
  const first = items[0] === undefined ? '' : key(items[0]);
  const after = query.after === undefined ? undefined : cursorLike(first, query.after);
  const following = await inSlices(
    sorted(after === undefined ? items : items.filter((item) => key(item) > after), (a, b) =>
      key(a) < key(b) ? -1 : 1,
    ),
  );
  const shown = following.slice(0, limit);
  const last = shown.at(-1);
  const views = await inSlices(mapped(shown, view));
  return {
    items: views.filter((each) => each !== undefined),
    rest: last === undefined || following.length <= limit ? {} : { next: String(key(last)) },
  };
}

/** The same for what the disk holds in order: without `after` it is asked for the newest, which nothing follows. */
export function restOf<T>(
  items: readonly T[],
  { after, limit, key }: { after: string | undefined; limit: number; key: (item: T) => number },
): Page<T>['rest'] {
  const last = items.at(-1);
  return after === undefined || last === undefined || items.length < limit ? {} : { next: String(key(last)) };
}

function cursorLike(key: Key, after: string): Key {
  if (typeof key === 'string') return after;
  const number = Number(after);
  if (!Number.isInteger(number))
    throw new RefusedError(400, `cannot accept "after": it is ${JSON.stringify(after)}, want what "next" said`);
  return number;
}
