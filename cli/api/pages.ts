// A list comes in pages. Whoever asks for no part of it gets the whole, however long it is.

/** Ten million items: a controller that never ends its list is none of ours. */
const pagesLimit = 1_000;

/** What is asked, as far as pages need to know. */
interface ListRequest {
  method?: string;
  path: string;
  query?: Record<string, string | undefined>;
}

export async function allPages<Asked extends ListRequest>(
  ask: (asked: Asked) => Promise<unknown>,
  asked: Asked,
): Promise<unknown> {
  const whole = await ask(asked);
  const { method = 'GET', query = {} } = asked;
  if (method !== 'GET' || query['limit'] !== undefined || query['after'] !== undefined || !isRecord(whole))
    return whole;
  // What else is in an answer, as the imports under way, is in each page.
  const name = Object.keys(whole).find((each) => Array.isArray(whole[each])) ?? '';
  let { next } = whole;
  for (let pages = 1; typeof next === 'string'; pages++) {
    if (pages >= pagesLimit) throw new Error(`cannot read ${asked.path}: more than ${pagesLimit} pages`);
    const page = await ask({ ...asked, query: { ...query, after: next } });
    const [items, more] = [whole[name], isRecord(page) ? page[name] : undefined];
    if (!Array.isArray(items) || !Array.isArray(more)) throw new Error(`cannot read ${asked.path}: a page is no list`);
    whole[name] = items.concat(more);
    next = isRecord(page) ? page['next'] : undefined;
  }
  delete whole['next'];
  return whole;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
