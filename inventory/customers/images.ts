// Customers' images that were imported, as `images/customer/` converted them.
import type { Refused } from '../refused.ts';
import type { Memory } from '../store/cache.ts';
import type { ImageDocument } from '../store/documents.ts';
import type { Draft } from '../store/transaction.ts';
import type { Take } from '../store/writer.ts';
import { unknownImage } from './unknown.ts';

/** Documents that it returns are shared and must not be changed. */
export interface ImageBook {
  all(): ImageDocument[];
  get(name: string): ImageDocument | undefined;
  save(image: ImageDocument): Promise<void>;
  /** Refused while a workload names it. `by`: the operator who asked, for the events. */
  remove(name: string, by?: string): Promise<{ removed: string } | Refused>;
}

export function imageBook({
  memory,
  take,
  takeOnReserve,
}: {
  memory: Memory;
  take: Take;
  takeOnReserve: Take;
}): ImageBook {
  return {
    all: () => [...memory.all('images').values()],
    get: (name) => memory.get('images', name),
    save: (image) => take((draft) => draft.put('images', image.name, image)),
    remove: (name, by) => takeOnReserve((draft) => decideRemoveImage(draft, name), by),
  };
}

function decideRemoveImage(draft: Draft, name: string): { removed: string } | Refused {
  if (draft.get('images', name) === undefined) return unknownImage(name);
  const users = Array.from(draft.all('workloads'), ([id, { spec }]) => (spec.image === name ? id : '')).filter(
    (id) => id !== '',
  );
  if (users.length > 0) return { refused: `image ${name} is used by ${users.slice(0, 5).join(', ')}` };
  draft.remove('images', name);
  draft.event('image', name, 'removed');
  return { removed: name };
}
