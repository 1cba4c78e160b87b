// Customers' images that were imported, as `images/customer/` converted them.
import type { Refused } from '../refused.ts';
import type { Cache, View } from '../store/cache.ts';
import type { ImageVersion } from '../../protocol/api/images.ts';
import type { ImageDocument, WorkloadDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Transact } from '../store/writer.ts';
import { unknownImage } from './unknown.ts';

/** Documents that it returns are shared and must not be changed. */
export interface ImageBook {
  all(): ImageDocument[];
  get(name: string): ImageDocument | undefined;
  /** What the name stood for so far goes into its history. */
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
    save: (image) => transact((transaction) => decideSaveImage(transaction, image)),
    remove: (name, by) => transactOnReserve((transaction) => decideRemoveImage(transaction, name), by),
  };
}

/** Versions of one name. */
const historyLimit = 10;

function decideSaveImage(transaction: Transaction, image: ImageDocument): void {
  const known = transaction.get('images', image.name);
  const before = known === undefined ? [] : [versionOf(known), ...(known.history ?? [])];
  // The same again is no news, also not where it was something else in between.
  const history = before.filter(({ digest }) => digest !== image.digest).slice(0, historyLimit);
  transaction.put('images', image.name, { ...image, ...(history.length === 0 ? {} : { history }) });
}

function versionOf({ digest, squashfs, importedAt }: ImageDocument): ImageVersion {
  return { digest, squashfs, importedAt };
}

/**
 * What a customer's workload means by an image's name: its own first, `web:1.4` for `acme/web:1.4`, then everybody's; without
 * a tag also `latest`.
 */
export function imageFor(
  view: Pick<View, 'get'>,
  { customer, name }: { customer: string; name: string },
): ImageDocument | undefined {
  const names = name.includes(':') ? [name] : [name, `${name}:latest`];
  for (const each of [...names.map((own) => `${customer}/${own}`), ...names]) {
    const known = view.get('images', each);
    if (known === undefined) continue;
    // What its name stood for before is the name's, not the workload's.
    const { history: _, ...image } = known;
    return image;
  }
  return undefined;
}

/** By `<customer>/<workload>`, whatever the image's name stands for by now. */
export function usersOf(workloads: Iterable<WorkloadDocument>): Map<string, string[]> {
  const users = new Map<string, string[]>();
  for (const { customer, name, image } of workloads)
    users.set(image.name, [...(users.get(image.name) ?? []), `${customer}/${name}`]);
  return users;
}

function decideRemoveImage(transaction: Transaction, name: string): { removed: string } | Refused {
  if (transaction.get('images', name) === undefined) return unknownImage(name);
  const users = usersOf(Array.from(transaction.all('workloads'), ([, workload]) => workload)).get(name) ?? [];
  if (users.length > 0) {
    const more = users.length > 5 ? ` and ${users.length - 5} more` : '';
    return {
      refused: `image ${name} is used by ${users.slice(0, 5).join(', ')}${more}: deploy another image there, or remove the workload, first`,
    };
  }
  transaction.remove('images', name);
  transaction.event('image', name, 'removed');
  return { removed: name };
}
