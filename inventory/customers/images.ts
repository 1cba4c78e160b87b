// Customers' images that were imported, as `images/customer/` converted them.
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import type { ImageDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Transact } from '../store/writer.ts';
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
  cache,
  transact,
  transactOnReserve,
}: {
  cache: Cache;
  transact: Transact;
  transactOnReserve: Transact;
}): ImageBook {
  return {
    all: () => [...cache.all('images').values()],
    get: (name) => cache.get('images', name),
    save: (image) => transact((transaction) => transaction.put('images', image.name, image)),
    remove: (name, by) => transactOnReserve((transaction) => decideRemoveImage(transaction, name), by),
  };
}

function decideRemoveImage(transaction: Transaction, name: string): { removed: string } | Refused {
  if (transaction.get('images', name) === undefined) return unknownImage(name);
  const users = Array.from(transaction.all('workloads'), ([id, { spec }]) => (spec.image === name ? id : '')).filter(
    (id) => id !== '',
  );
  if (users.length > 0) return { refused: `image ${name} is used by ${users.slice(0, 5).join(', ')}` };
  transaction.remove('images', name);
  transaction.event('image', name, 'removed');
  return { removed: name };
}
